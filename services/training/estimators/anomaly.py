"""How unlike other payments a payment is, which can be told before there is any label.

Two measures, each a column that is appended to those there are: how soon a random tree isolates a payment (Liu, Ting,
Zhou, "Isolation Forest", 2008), and how far it is from the nearest of a few segments (k-means).

Both are computed in whole numbers, which float32 adds up exactly in any order. A tree that splits on such a column
therefore goes the same way in scikit-learn and in ONNX, always; with sums that were rounded it would not.
"""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.ensemble import IsolationForest
from sklearn.utils.validation import validate_data

from services.training.estimators.preparation import Matrix, Rows, Scaling
from services.training.estimators.trees import Tree, rounded_down

DEPTH_STEPS = 64
"""A depth is counted in 64ths."""
SCALED_STEPS = 16
"""A scaled value is counted in 16ths of a standard deviation: its square, over 160 columns, is below 2**24."""
SEGMENT_ROWS_MAX = 20_000
"""Segments are laid through no more payments than these, evenly spread."""
ODDS_OF_MEDIAN = 0.01


class IsolationDepth(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Appends minus the average depth at which the trees isolate a row: the higher, the stranger."""

    def __init__(self, *, trees: int = 50, sample: int = 256, random_state: int = 0) -> None:
        self.trees = trees
        self.sample = sample
        self.random_state = random_state

    def fit(self, matrix: Matrix, frauds: object = None) -> Self:  # noqa: ARG002
        checked = validate_data(self, matrix)
        sample = min(self.sample, len(checked))
        forest = IsolationForest(n_estimators=self.trees, max_samples=sample, random_state=self.random_state)
        self.estimators_ = forest.fit(checked).estimators_
        self.trees_ = [_isolation_tree(tree.tree_) for tree in self.estimators_]
        return self

    def transform(self, matrix: Matrix) -> Rows:
        checked = validate_data(self, matrix, reset=False, dtype=np.float32)
        steps = np.zeros(len(checked), dtype=np.float32)
        for fitted, tree in zip(self.estimators_, self.trees_, strict=True):
            steps += tree.value[fitted.tree_.apply(checked)]
        return np.column_stack([checked, steps / np.float32(self.steps_a_depth)])

    @property
    def steps_a_depth(self) -> int:
        """How many steps, over all trees, make an average depth of one."""
        return DEPTH_STEPS * self.trees


def _isolation_tree(tree: Any) -> Tree:
    """Return a tree that answers minus the depth of a leaf in DEPTH_STEPS, with what its rows would still need."""
    left, right = tree.children_left, tree.children_right
    depth = np.zeros(tree.node_count)
    for node in np.flatnonzero(left >= 0):
        depth[[left[node], right[node]]] = depth[node] + 1
    steps = np.round(-DEPTH_STEPS * (depth + _depth_still_needed(tree.n_node_samples))).astype(np.float32)
    return Tree(left, right, tree.feature, rounded_down(tree.threshold), steps)


def _depth_still_needed(rows: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Return the average depth of a random tree that isolates each of so many rows: equation 1 of the paper."""
    more = np.maximum(rows, 3).astype(np.float64)
    harmonic = np.log(more - 1) + np.euler_gamma
    return np.where(rows > 2, 2 * harmonic - 2 * (more - 1) / more, np.where(rows == 2, 1.0, 0.0))


class SegmentDistance(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Appends the distance of a row, scaled, to the centre of the nearest segment."""

    def __init__(self, *, segments: int = 8, random_state: int = 0) -> None:
        self.segments = segments
        self.random_state = random_state

    def fit(self, matrix: Matrix, frauds: object = None) -> Self:  # noqa: ARG002
        checked = validate_data(self, matrix)
        self.scaling_ = Scaling().fit(checked)
        some = checked[np.linspace(0, len(checked) - 1, min(len(checked), SEGMENT_ROWS_MAX)).astype(np.intp)]
        segments = KMeans(min(self.segments, len(some)), n_init=1, random_state=self.random_state)
        segments.fit(self._counted(some))
        self.centres_ = np.rint(segments.cluster_centers_).astype(np.float32)
        return self

    def transform(self, matrix: Matrix) -> Rows:
        checked = validate_data(self, matrix, reset=False, dtype=np.float32)
        counted = self._counted(checked)
        nearest = np.full(len(checked), np.inf, dtype=np.float32)
        for centre in self.centres_:
            np.minimum(nearest, np.square(counted - centre).sum(axis=1), out=nearest)
        return np.column_stack([checked, np.sqrt(nearest) / np.float32(SCALED_STEPS)])

    def _counted(self, matrix: Matrix) -> Rows:
        counted: Rows = np.rint(self.scaling_.transform(matrix) * SCALED_STEPS).astype(np.float32)
        return counted


class AnomalyClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Makes a score of the last column, without labels: 1 % at the median, 50 % where the top hundredth begins."""

    def fit(self, matrix: Rows, frauds: object = None) -> Self:  # noqa: ARG002
        column = validate_data(self, matrix)[:, -1].astype(np.float64)
        median, top = np.quantile(column, [0.5, 1 - ODDS_OF_MEDIAN])
        self.centre_ = float(np.float32(top))
        self.scale_ = float(np.float32((top - median) / -np.log(ODDS_OF_MEDIAN))) or 1.0
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, matrix: Rows) -> npt.NDArray[np.float64]:
        """Return the scores of genuine and of fraud of each row: shape (n, 2)."""
        column = validate_data(self, matrix, reset=False)[:, -1].astype(np.float64)
        frauds = expit((column - self.centre_) / self.scale_)
        return np.column_stack([1 - frauds, frauds])

    def predict(self, matrix: Rows) -> npt.NDArray[np.int64]:
        """Return 1 for each row that lies in the top hundredth, otherwise 0."""
        return (self.predict_proba(matrix)[:, 1] > 0.5).astype(np.int64)
