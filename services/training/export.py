"""From a scikit-learn model to an ONNX file."""

import numpy as np
from skl2onnx import to_onnx
from sklearn.pipeline import Pipeline

OPSETS = {"": 18, "ai.onnx.ml": 3}
"""Pinned, so that the same model gives the same file whichever converter version is installed."""


def export(model: Pipeline) -> bytes:
    """Return `model` as one ONNX graph: raw float32 rows in; labels, then probabilities of shape (n, 2) out."""
    row = np.zeros((1, model.n_features_in_), dtype=np.float32)
    graph = to_onnx(model, row, options={id(model): {"zipmap": False}}, target_opset=OPSETS)
    content: bytes = graph.SerializeToString(deterministic=True)
    return content
