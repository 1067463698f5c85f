"""A registered model that calls large amounts fraud, announced on `models`; and a service's parts, running."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from services.training.estimators.export import export
from shared.bus.base import Bus, Outgoing
from shared.contracts import codec
from shared.contracts.topics import MODELS
from shared.features.catalog.fraud import FRAUD
from shared.models.manifest import MODEL_NAME, Manifest, Probe, Thresholds
from shared.models.packages import Packages
from shared.runtime.service import Service
from tests.model_events import Action, model_event

NOW = datetime(2026, 3, 1, tzinfo=UTC)
AMOUNT = FRAUD.feature_names.index("amount")
PATIENCE_POLLS = 2_000


def large_amounts_are_fraud(above: float) -> bytes:
    rows = np.zeros((400, len(FRAUD.features)), dtype=np.float32)
    rows[:, AMOUNT] = np.linspace(0, 2 * above, len(rows))
    # Every split may look at every feature: all but the amount are constant.
    forest = RandomForestClassifier(n_estimators=5, max_features=None, random_state=0)
    return export(forest.fit(rows, rows[:, AMOUNT] > above), len(FRAUD.features))


def register(packages: Packages, version: int, *, above: float = 50_000, probes: Sequence[Probe] = ()) -> Manifest:
    onnx = large_amounts_are_fraud(above)
    manifest = Manifest(
        model_name=MODEL_NAME,
        model_version=version,
        model_digest=hashlib.sha256(onnx).hexdigest(),
        feature_set=FRAUD.name,
        feature_version=FRAUD.version,
        feature_names=FRAUD.feature_names,
        estimator="forest",
        family="random_forest",
        trained_at=NOW,
        data_digest="0" * 64,
        training_rows=400,
        metrics={},
        thresholds=Thresholds(review=0.5, decline=0.9),
        references={},
        probes=list(probes),
    )
    packages.add(manifest, onnx)
    return manifest


def announce(bus: Bus, action: Action, manifest: Manifest, *, share: float | None = None) -> None:
    event = model_event(
        action,
        manifest.model_version,
        model_digest=manifest.model_digest,
        feature_version=manifest.feature_version,
        share=share,
    )
    bus.publisher().send(Outgoing(MODELS.name, manifest.model_name.encode(), codec.encode(event))).result()


def promote(bus: Bus, manifest: Manifest) -> None:
    announce(bus, "promoted", manifest)


def model_file(home: Path, version: int) -> Path:
    return home / "models" / MODEL_NAME / str(version) / "model.onnx"


@contextmanager
def running(*services: Service) -> Iterator[None]:
    for service in services:
        service.start()
    try:
        yield
    finally:
        for service in services:
            service.shut_down()
            assert not service.failed.is_set()


def wait_until(reached: Callable[[], bool], told: str) -> None:
    pause = threading.Event()
    for _ in range(PATIENCE_POLLS):
        if reached():
            return
        pause.wait(0.01)
    raise AssertionError(f"never: {told}")
