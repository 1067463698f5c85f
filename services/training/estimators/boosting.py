"""Histogram gradient boosting whose splits mean the same in float32, and which can be carried on with new payments."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier

from services.training.estimators.trees import Tree, rounded_down


class Boosting(HistGradientBoostingClassifier):  # type: ignore[misc]
    """HistGradientBoostingClassifier of float32 rows without gaps.

    Its thresholds lie half-way between two float32 numbers; here they are rounded down as soon as it is trained, so
    that its float32 copy goes the same way.

    With `warm_start` it keeps its bins: scikit-learn's own would bin new payments anew, and read the splits of the
    trees there are, which are kept by bin, in the new bins.
    """

    _bin_mapper: Any

    def fit(self, matrix: npt.NDArray[np.float32], frauds: npt.NDArray[np.int8]) -> Self:
        super().fit(matrix, frauds)
        for (tree,) in self._predictors:
            tree.nodes["num_threshold"] = rounded_down(tree.nodes["num_threshold"])
        self._kept_bins: Any = self._bin_mapper
        return self

    def trees(self) -> list[Tree]:
        """Return the trees; their values and `baseline` add up to the log odds of fraud."""
        return [_tree(tree.nodes) for (tree,) in self._predictors]

    @property
    def baseline(self) -> float:
        """The log odds that the trees start from."""
        return float(self._baseline_prediction.item())

    def _bin_data(self, matrix: Any, sample_weight: Any, is_training_data: bool) -> Any:
        if not (is_training_data and self.warm_start and hasattr(self, "_kept_bins")):
            return super()._bin_data(matrix, sample_weight, is_training_data)
        self._bin_mapper = self._kept_bins
        return self._bin_mapper.transform(matrix)


def _tree(nodes: Any) -> Tree:
    leaf = nodes["is_leaf"].astype(np.bool_)
    left, right = (np.where(leaf, -1, nodes[side].astype(np.intp)) for side in ("left", "right"))
    feature, value = nodes["feature_idx"].astype(np.intp), nodes["value"].astype(np.float32)
    return Tree(left, right, feature, nodes["num_threshold"], value)
