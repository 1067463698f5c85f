"""The trees of a graph, one behind the other, as flat arrays."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnx

from shared.models.graph import UnlikeError, attributes

_COVER_TOLERANCE = 1e-3
"""By what part the children's covers may miss the parent's: they are float32, and weights of rows may be fractions."""

Places = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Attributes = Mapping[str, onnx.AttributeProto]


class Trees(NamedTuple):
    """Trees whose answers to a row add up; all arrays but the first have one entry a node, parents before children.

    begins: shape (trees + 1,), where each tree's root stands, and the end. left, right: the children; at a leaf -1.
    columns, thresholds: a row goes left where row[column] <= threshold. values: a leaf's answer. covers: how many
    training rows, by their weights, came to the node.
    """

    begins: Places
    left: Places
    right: Places
    columns: Places
    thresholds: Floats
    values: Floats
    covers: Floats

    @property
    def has_covers(self) -> bool:
        """Whether the graph tells how many rows came to each node: those of two children are those of their parent."""
        inner = np.flatnonzero(self.left >= 0)
        children = self.covers[self.left[inner]] + self.covers[self.right[inner]]
        is_sum = np.abs(children - self.covers[inner]) <= _COVER_TOLERANCE * self.covers[inner]
        return bool((self.covers > 0).all() and is_sum.all())


def trees_of(node: onnx.NodeProto) -> Trees:
    """Return the trees of a TreeEnsembleRegressor of one target, or of a TreeEnsembleClassifier of two classes.

    Raises:
        UnlikeError: it compares, adds up or transforms otherwise than the trees that training exports.
    """
    given = attributes(node)
    of_leaf = "class" if node.op_type == "TreeEnsembleClassifier" else "target"
    _check_simple(given, of_leaf)
    tree_of, local = _integers(given, "nodes_treeids"), _integers(given, "nodes_nodeids")
    begins = np.append(np.flatnonzero(np.diff(tree_of, prepend=-1)), len(tree_of))
    begin_of = np.repeat(begins[:-1], np.diff(begins))
    is_leaf = np.array(given["nodes_modes"].strings) == b"LEAF"
    left, right = (
        np.where(is_leaf, -1, begin_of + _integers(given, f"nodes_{side}nodeids")) for side in ("true", "false")
    )
    here = np.arange(len(tree_of))
    if (local != here - begin_of).any() or (tree_of[begins[:-1]] != np.arange(len(begins) - 1)).any():
        raise UnlikeError("trees or nodes are not numbered in their order")
    if (np.minimum(left, right) <= here)[~is_leaf].any():
        raise UnlikeError("a child stands before its parent")
    values = np.zeros(len(here))
    at = begins[_integers(given, f"{of_leaf}_treeids")] + _integers(given, f"{of_leaf}_nodeids")
    values[at] = _floats(given, f"{of_leaf}_weights")
    covers = _floats(given, "nodes_hitrates") if "nodes_hitrates" in given else np.ones(len(here))
    columns, thresholds = _integers(given, "nodes_featureids"), _floats(given, "nodes_values")
    return Trees(begins, left, right, columns, thresholds, values, covers)


def _check_simple(given: Attributes, of_leaf: str) -> None:
    others = set(given["nodes_modes"].strings) - {b"LEAF", b"BRANCH_LEQ"}
    if others:
        raise UnlikeError(f"splits of the kind {', '.join(sorted(kind.decode() for kind in others))}")
    usual = {"post_transform": b"NONE", "aggregate_function": b"SUM"}
    if "base_values" in given or any(given[name].s != value for name, value in usual.items() if name in given):
        raise UnlikeError("more is done to the trees' answers than to add them up")
    if len(set(given[f"{of_leaf}_ids"].ints)) > 1:
        raise UnlikeError("the trees answer several questions")


def _integers(given: Attributes, name: str) -> Places:
    return np.array(given[name].ints, dtype=np.int64)


def _floats(given: Attributes, name: str) -> Floats:
    return np.array(given[name].floats, dtype=np.float64)
