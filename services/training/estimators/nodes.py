"""Nodes of an ONNX graph, written one below the other like arithmetic."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from skl2onnx._parse import _parse_sklearn
from skl2onnx._supported_operators import _get_sklearn_operator_name
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType
from skl2onnx.proto import onnx_proto

from services.training.estimators.trees import Tree

_TYPES = {
    np.dtype(np.float32): onnx_proto.TensorProto.FLOAT,
    np.dtype(np.float64): onnx_proto.TensorProto.DOUBLE,
    np.dtype(np.int64): onnx_proto.TensorProto.INT64,
}

COVERS = "nodes_hitrates"
"""The attribute of trees that holds how often each node is come to; scores do not depend on it."""


class Nodes:
    """Adds nodes to the graph that skl2onnx builds; a value in it is known by its name."""

    def __init__(self, scope: Any, container: Any) -> None:
        """scope, container: as skl2onnx hands them to a converter."""
        self._scope = scope
        self._container = container

    def add(self, kind: str, *inputs: str, into: str | None = None, domain: str = "", **attributes: Any) -> str:
        """Add a node; return the name of its output, which is `into` where that is given."""
        output = into or self._scope.get_unique_variable_name(kind.lower())
        name = self._scope.get_unique_operator_name(kind)
        self._container.add_node(kind, list(inputs), [output], op_domain=domain, name=name, **attributes)
        return output

    def constant(self, value: npt.ArrayLike, kind: type[np.generic] = np.float32) -> str:
        """Add a constant; return its name."""
        array = np.asarray(value, dtype=kind)
        name: str = self._scope.get_unique_variable_name("constant")
        self._container.add_initializer(name, _TYPES[array.dtype], array.shape, array.ravel().tolist())
        return name

    def cast(self, value: str, kind: type[np.generic], into: str | None = None) -> str:
        """Add a conversion of `value` to another type of number."""
        return self.add("Cast", value, into=into, to=_TYPES[np.dtype(kind)])

    def column(self, value: str, at: int) -> str:
        """Return one column of a matrix: shape (n, 1)."""
        return self.add("Gather", value, self.constant([at], np.int64), axis=1)

    def trees(self, rows: str, trees: Sequence[Tree], covers: Sequence[npt.NDArray[Any]] = ()) -> str:
        """Add trees; return the sum of their answers to each row: shape (n, 1).

        covers: for each tree, how many training rows came to each node.
        """
        sizes = [len(tree.left) for tree in trees]
        numbers, numbers_in_tree = np.repeat(np.arange(len(sizes)), sizes), np.concatenate([*map(np.arange, sizes)])
        left, right, feature, threshold, value = (np.concatenate(column) for column in zip(*trees, strict=True))
        leaf = left < 0
        hit_rates = {COVERS: np.concatenate(covers).astype(float).tolist()} if covers else {}
        return self.add(
            "TreeEnsembleRegressor",
            rows,
            domain="ai.onnx.ml",
            n_targets=1,
            nodes_treeids=numbers.tolist(),
            nodes_nodeids=numbers_in_tree.tolist(),
            nodes_featureids=np.where(leaf, 0, feature).tolist(),
            nodes_modes=np.where(leaf, "LEAF", "BRANCH_LEQ").tolist(),
            nodes_values=np.where(leaf, 0.0, threshold).tolist(),
            nodes_truenodeids=np.where(leaf, 0, left).tolist(),
            nodes_falsenodeids=np.where(leaf, 0, right).tolist(),
            target_treeids=numbers[leaf].tolist(),
            target_nodeids=numbers_in_tree[leaf].tolist(),
            target_ids=[0] * int(leaf.sum()),
            target_weights=value[leaf].tolist(),
            **hit_rates,
        )

    def transformed(self, transformer: Any, rows: Any) -> Any:
        """Add what `transformer` makes of the variable `rows`; return the variable that holds it."""
        (output,) = _parse_sklearn(self._scope, transformer, [rows])
        return output

    def classified(self, classifier: Any, rows: Any) -> str:
        """Add what `classifier` makes of the variable `rows`; return its second output: shape (n, 2)."""
        self._scope.add_options(id(classifier), {"zipmap": False})
        operator = self._scope.declare_local_operator(_get_sklearn_operator_name(type(classifier)), classifier)
        operator.inputs.append(rows)
        operator.outputs.append(self._scope.declare_local_variable("labels", Int64TensorType()))
        probabilities = self._scope.declare_local_variable("probabilities", FloatTensorType())
        operator.outputs.append(probabilities)
        name: str = probabilities.full_name
        return name
