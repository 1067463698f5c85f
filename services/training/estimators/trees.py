"""A tree as it becomes ONNX, whatever grew it."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Tree(NamedTuple):
    """Each array has one entry a node; a child always stands behind its parent.

    left, right: the children; at a leaf -1. feature, threshold: a row goes left where row[feature] <= threshold.
    value: at a leaf, what the tree answers.
    """

    left: npt.NDArray[np.intp]
    right: npt.NDArray[np.intp]
    feature: npt.NDArray[np.intp]
    threshold: npt.NDArray[np.float64]
    value: npt.NDArray[np.float32]


def rounded_down(thresholds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the largest float32 not above each threshold, as float64.

    For every float32 x, x <= t is the same as x <= rounded_down(t); rounded to the nearer float32 it would not be.
    """
    nearest = thresholds.astype(np.float32)
    below = np.nextafter(nearest, np.float32(-np.inf))
    return np.where(nearest > thresholds, below, nearest).astype(np.float64)
