"""From a fitted model to one ONNX graph."""

from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import BaseEstimator

from services.training.estimators import conversion

OPSETS = {"": 18, "ai.onnx.ml": 3}
"""Pinned, so that the same model gives the same file whichever converter version is installed."""

conversion.register()


def export(model: BaseEstimator, width: int) -> bytes:
    """Return `model` as one ONNX graph: float32 rows (n, width) in; labels, then probabilities of shape (n, 2) out."""
    graph = to_onnx(
        model,
        initial_types=[("rows", FloatTensorType([None, width]))],
        options={id(model): {"zipmap": False}},
        target_opset=OPSETS,
        name="headrace",
    )
    content: bytes = graph.SerializeToString(deterministic=True)
    return content
