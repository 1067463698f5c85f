"""Payments that four features tell apart, and models of them exported with care or without."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from skl2onnx import to_onnx
from sklearn.base import ClassifierMixin

from services.training.data.dataset import TrainingSet
from services.training.gates.export_gate import check_export
from shared.features.definitions import DAY, Aggregation, Category, Entity, FeatureSet, Field, Row, RowFunction, Window
from shared.models.manifest import Manifest, Thresholds
from shared.models.session import OnnxModel

FEATURES = FeatureSet(
    "four",
    (
        Category(Field.MCC),
        Row(RowFunction.AMOUNT),
        Window(Entity.CARD, Aggregation.COUNT, DAY),
        Window(Entity.CARD, Aggregation.SINCE_LAST, DAY),
    ),
)
MCC, AMOUNT, COUNT, SINCE = range(4)
NAMES = FEATURES.feature_names
RISKY_CODES = (3, 9, 12)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAIVE_OPSETS = {"": 18, "ai.onnx.ml": 3}


def payments(count: int = 1_500, *, seed: int = 0) -> TrainingSet:
    """Return payments: large amounts, many on a card, and some merchants' categories are fraud."""
    rng = np.random.default_rng(seed)
    rows = np.column_stack(
        [
            rng.integers(0, 15, count),
            rng.integers(100, 50_000, count),
            rng.poisson(3.0, count),
            rng.integers(0, 86_400, count),
        ]
    ).astype(np.float32)
    log_odds = rows[:, AMOUNT] / 10_000 + rows[:, COUNT] / 3 + 2 * np.isin(rows[:, MCC], RISKY_CODES) - 5
    return of_rows(rows, (rng.random(count) < 1 / (1 + np.exp(-log_odds))).astype(np.int8))


def of_rows(rows: npt.NDArray[Any], frauds: npt.NDArray[np.int8]) -> TrainingSet:
    count = len(rows)
    return TrainingSet(
        feature_set=FEATURES,
        rows=rows.astype(np.float32),
        frauds=frauds,
        times=np.arange(count, dtype=np.int64),
        cards=np.arange(count, dtype=np.int64) % 50,
        amounts=np.full(count, 100, dtype=np.int64),
        as_of=NOW,
    )


def naively_exported(model: ClassifierMixin) -> bytes:
    """Return what skl2onnx makes of a model without further ado."""
    row = np.zeros((1, len(NAMES)), dtype=np.float32)
    graph = to_onnx(model, row, options={id(model): {"zipmap": False}}, target_opset=NAIVE_OPSETS)
    content: bytes = graph.SerializeToString()
    return content


def loaded(content: bytes) -> OnnxModel:
    manifest = Manifest(
        model_name="fraud",
        model_version=1,
        model_digest="",
        feature_set=FEATURES.name,
        feature_version=FEATURES.version,
        feature_names=NAMES,
        estimator="",
        family="",
        trained_at=NOW,
        data_digest="",
        training_rows=1,
        metrics={},
        thresholds=Thresholds(review=0.5, decline=0.8),
        references={},
    )
    return OnnxModel(manifest, content)


def check(content: bytes, reference: ClassifierMixin, data: TrainingSet) -> float:
    """Return what the gate says of a model, its newest quarter of payments held out."""
    newest = np.arange(len(data.rows)) >= 3 * len(data.rows) // 4
    return check_export(loaded(content), reference, data, data.part(newest))


def trees(content: bytes) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """Return a graph, and the attributes of its one forest by name, to be changed in place."""
    model = onnx.load_from_string(content)
    (node,) = (node for node in model.graph.node if node.op_type.startswith("TreeEnsemble"))
    return model, {attribute.name: attribute for attribute in node.attribute}
