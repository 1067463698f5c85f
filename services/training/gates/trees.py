"""The trees inside a fitted model, whatever is built around them, and what each is given of the payments."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier, StackingClassifier
from sklearn.pipeline import Pipeline
from sklearn.tree import BaseDecisionTree

from services.training.estimators.transfer import SegmentSpecialist

WITNESSES_MAX = 4

Matrix = npt.NDArray[Any]
Places = npt.NDArray[np.intp]


class View(NamedTuple):
    """What some trees see.

    prepare: makes it of raw rows. asked: of which payments they are asked, shape (k,). seen: what those are made into,
    shape (k, columns).
    """

    prepare: Callable[[Matrix], Matrix]
    asked: Places
    seen: Matrix


class Tree(NamedTuple):
    """A tree's nodes, each array of shape (nodes,). A value at most the threshold goes left.

    left: -1 where the way ends: at a leaf, or at a split on a category that the tree takes as such.
    precision: of the values that are compared.
    """

    columns: Places
    thresholds: npt.NDArray[np.float64]
    left: Places
    right: Places
    missing_left: npt.NDArray[np.bool_]
    precision: type[np.floating[Any]]


def views_of(model: Any, payments: Matrix) -> list[tuple[View, list[Tree]]]:
    """Return the trees of a fitted scikit-learn model, those together that are given the same, in one precision."""
    views: dict[tuple[int, type], tuple[View, list[Tree]]] = {}
    for view, tree in _trees(model, View(_as_they_are, np.arange(len(payments)), payments)):
        views.setdefault((id(view), tree.precision), (view, []))[1].append(tree)
    return list(views.values())


def witnesses(tree: Tree, view: View) -> Places:
    """Return for each node up to WITNESSES_MAX payments that reach it; -1 where none does: shape (that many, nodes)."""
    witness = np.full((WITNESSES_MAX, len(tree.left)), -1)
    node = np.zeros(len(view.seen), dtype=np.intp)
    under_way = np.arange(len(view.seen))
    while len(under_way):
        witness[under_way % WITNESSES_MAX, node[under_way]] = view.asked[under_way]
        under_way = under_way[tree.left[node[under_way]] >= 0]
        at = node[under_way]
        values = view.seen[under_way, tree.columns[at]].astype(tree.precision)
        goes_left = np.where(np.isnan(values), tree.missing_left[at], values <= tree.thresholds[at])
        node[under_way] = np.where(goes_left, tree.left[at], tree.right[at])
    return witness


def _trees(model: Any, view: View) -> Iterator[tuple[View, Tree]]:
    if isinstance(model, BaseDecisionTree):
        yield view, _grown(model.tree_)
    elif isinstance(model, HistGradientBoostingClassifier):
        # Native categories are put before the other columns.
        ordered = view if model._preprocessor is None else _through(view, model._preprocessor.transform)
        yield from ((ordered, _boosted(tree.nodes)) for trees in model._predictors for tree in trees)
    elif isinstance(model, SegmentSpecialist):
        special = view.seen[:, model.feature] == model.code
        for part, asked in ((model.base, ~special), (model.specialist, special)):
            if asked.any():
                yield from _trees(part, View(view.prepare, view.asked[asked], view.seen[asked]))
    else:
        for part, prepare in _parts(model):
            yield from _trees(part, view if prepare is None else _through(view, prepare))


def _parts(model: Any) -> Iterator[tuple[Any, Callable[[Matrix], Matrix] | None]]:
    """Return the models that `model` asks, each with what is done to its rows first."""
    if isinstance(model, Pipeline):
        for at, (_, step) in enumerate(model.steps):
            yield step, model[:at].transform if at else None
    elif hasattr(model, "calibrated_classifiers_"):
        yield from ((each.estimator, None) for each in model.calibrated_classifiers_)
    elif hasattr(model, "estimators_"):
        yield from _members(model)
    else:
        # Calibration and self-training keep an unfitted `estimator` beside the fitted; a FrozenEstimator has no other.
        names = ("estimator_",) if hasattr(model, "estimator_") else ("estimator", "forest_")
        yield from ((getattr(model, name), None) for name in names if hasattr(model, name))


def _members(model: Any) -> Iterator[tuple[Any, Callable[[Matrix], Matrix] | None]]:
    members = model.estimators_.ravel() if isinstance(model.estimators_, np.ndarray) else model.estimators_
    drawn = getattr(model, "estimators_features_", [None] * len(members))
    for member, columns in zip(members, drawn, strict=True):
        every = columns is None or np.array_equal(columns, np.arange(model.n_features_in_))
        yield member, None if every else _columns(columns)
    if isinstance(model, StackingClassifier):
        yield model.final_estimator_, model.transform


def _columns(columns: Places) -> Callable[[Matrix], Matrix]:
    return lambda rows: rows[:, columns]


def _through(view: View, prepare: Callable[[Matrix], Matrix]) -> View:
    return View(lambda rows: np.asarray(prepare(view.prepare(rows))), view.asked, np.asarray(prepare(view.seen)))


def _as_they_are(rows: Matrix) -> Matrix:
    return rows


def _grown(tree: Any) -> Tree:
    missing_left = tree.missing_go_to_left.astype(bool)
    return Tree(tree.feature, tree.threshold, tree.children_left, tree.children_right, missing_left, np.float32)


def _boosted(nodes: Any) -> Tree:
    ends = nodes["is_leaf"].astype(bool) | nodes["is_categorical"].astype(bool)
    return Tree(
        columns=nodes["feature_idx"].astype(np.intp),
        thresholds=nodes["num_threshold"],
        left=np.where(ends, -1, nodes["left"].astype(np.intp)),
        right=nodes["right"].astype(np.intp),
        missing_left=nodes["missing_go_to_left"].astype(bool),
        precision=np.float64,
    )
