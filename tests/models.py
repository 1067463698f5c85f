"""Small real models, what is announced of them, and an MLflow database to register them in."""

import hashlib
import shutil
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from shared.contracts.events import ModelEvent
from shared.contracts.ids import derived_event_id, new_event_id
from shared.models.manifest import MODEL_NAME, Manifest, Thresholds
from shared.models.registry import Registry
from tests.events import TRACE_ID

FEATURE_NAMES = ["amount", "count", "age"]
TRAINED_AT = datetime(2026, 3, 1, tzinfo=UTC)


def some_rows(width: int = len(FEATURE_NAMES)) -> npt.NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(100, width)).astype(np.float32)


@cache
def fitted(width: int = len(FEATURE_NAMES), column: int = 0) -> LogisticRegression:
    """Return a model that takes what is large in one column for fraud, and tells hundreds from thousands."""
    rows = some_rows(width)
    model = LogisticRegression().fit(rows, rows[:, column] > 0)
    model.coef_ = 0.01 * np.eye(1, width, column)
    return model


@cache
def onnx_bytes(width: int = len(FEATURE_NAMES), column: int = 0) -> bytes:
    model = fitted(width, column)
    options = {id(model): {"zipmap": False}}
    graph = to_onnx(model, some_rows(width)[:1], options=options, target_opset={"": 18, "ai.onnx.ml": 3})
    content: bytes = graph.SerializeToString(deterministic=True)
    return content


def manifest_of(version: int, onnx: bytes | None = None, **fields: Any) -> Manifest:
    defaults: dict[str, Any] = {
        "model_name": MODEL_NAME,
        "model_version": version,
        "model_digest": hashlib.sha256(onnx or onnx_bytes()).hexdigest(),
        "feature_set": "fraud",
        "feature_version": "f" * 64,
        "feature_names": FEATURE_NAMES,
        "estimator": "logistic_l2(C=1)",
        "family": "logistic_l2",
        "parameters": {"C": 1.0},
        "code_commit": "abc1234",
        "trained_at": TRAINED_AT,
        "data_digest": "d" * 64,
        "training_rows": 100,
        "metrics": {"average_precision": 0.75},
        "intervals": {"average_precision": (0.7, 0.8)},
        "thresholds": Thresholds(review=0.5, decline=0.9),
        "references": {},
    }
    return Manifest(**(defaults | fields))


@cache
def _fresh_database() -> bytes:
    """Made once: MLflow runs a hundred migrations for each."""
    with tempfile.TemporaryDirectory() as home:
        Registry(Path(home), tracking_uri=None).versions(MODEL_NAME)
        return (Path(home) / "mlflow.db").read_bytes()


def local_registry(home: Path) -> Registry:
    """Return a registry on an SQLite of its own, which is made where it is missing."""
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "mlflow.db").exists():
        (home / "mlflow.db").write_bytes(_fresh_database())
    return Registry(home, tracking_uri=None)


def register(registry: Registry, onnx: bytes | None = None, **fields: Any) -> tuple[Manifest, str]:
    """Register a version the way training does; return its manifest and the manifest's digest."""
    onnx = onnx or onnx_bytes()
    run_id = registry.begin(MODEL_NAME, parameters={"family": "logistic_l2", "C": 1.0}, tags={"trace_id": "1" * 32})
    manifest = manifest_of(registry.reserve(MODEL_NAME, run_id), onnx, **fields)
    return manifest, registry.add(manifest, onnx, run_id=run_id, card="# Fraud\n")


def registered(manifest: Manifest, manifest_digest: str | None = None) -> ModelEvent:
    """Return what training announces of a version."""
    return ModelEvent(
        event_id=new_event_id(TRAINED_AT),
        occurred_at=TRAINED_AT,
        trace_id=TRACE_ID,
        model_name=manifest.model_name,
        model_version=manifest.model_version,
        action="registered",
        model_digest=manifest.model_digest,
        manifest_digest=manifest_digest,
        data_digest=manifest.data_digest,
        feature_version=manifest.feature_version,
        actor="training",
        reason="passed the export gate",
        metrics=manifest.metrics,
        previous_digest=None,
    )


def released(version: int = 1) -> ModelEvent:
    return ModelEvent(
        event_id=derived_event_id(TRAINED_AT, "promoted", str(version)),
        occurred_at=TRAINED_AT,
        trace_id="1" * 32,
        model_name=MODEL_NAME,
        model_version=version,
        action="promoted",
        model_digest="0" * 64,
        feature_version="f" * 64,
        actor="ada",
        reason="it was time",
        previous_digest=None,
    )


def forget_packages(home: Path) -> None:
    """Leave MLflow alone with the models, as on another machine."""
    shutil.rmtree(home / "models")


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
