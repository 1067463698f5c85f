"""From a scikit-learn forest to an ONNX file."""

import numpy as np
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier

OPSETS = {"": 18, "ai.onnx.ml": 3}
"""Pinned, so that the same forest gives the same file whichever converter version is installed."""


def export(forest: RandomForestClassifier) -> bytes:
    """Return `forest` as ONNX: float32 rows in; labels, then probabilities of shape (n, 2) out."""
    row = np.zeros((1, forest.n_features_in_), dtype=np.float32)
    model = to_onnx(forest, row, options={id(forest): {"zipmap": False}}, target_opset=OPSETS)
    content: bytes = model.SerializeToString(deterministic=True)
    return content
