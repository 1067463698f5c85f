"""A champion in force, and a stream that it scored: how often it is fraud may be another than it says."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from services.training.estimators.calibrated import Calibrated
from services.training.estimators.export import export
from services.training.model_log import ModelLog
from services.training.recalibration.job import RecalibrationJob
from services.training.recalibration.recalibrator import Recalibrator
from services.training.references import reference
from shared.bus.memory import MemoryBus
from shared.contracts.events import ModelEvent
from shared.contracts.topics import FEATURES, LABELS, SCORES, TOPICS
from shared.features.catalog.fraud import FRAUD
from shared.models.manifest import Probe, Thresholds
from shared.models.session import OnnxModel
from shared.runtime.clock import ManualClock
from tests.events import label
from tests.model_events import model_event
from tests.models import local_registry, manifest_of, register, registered
from tests.unit.cli.past_decisions import decision
from tests.unit.training.training_scene import AMOUNT, archive, delivered, settings, vector

DAY = timedelta(days=1)
NOW = datetime(2026, 5, 1, tzinfo=UTC)
WIDTH = len(FRAUD.feature_names)
THRESHOLDS = Thresholds(review=0.1, decline=0.8)
TRIPLED = float(np.log(3))


@cache
def champion_onnx() -> bytes:
    """Return a model whose log odds are what stands in the place of the amount."""
    rows = np.random.default_rng(0).normal(size=(40, WIDTH)).astype(np.float32)
    model = Calibrated(LogisticRegression()).fit(rows, (rows[:, 0] > 0).astype(np.int8))
    model.estimator_.coef_, model.estimator_.intercept_ = np.eye(1, WIDTH, AMOUNT), np.zeros(1)
    return export(model, WIDTH)


class Scene:
    """A home with an archive, an MLflow and a log."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.bus = MemoryBus(partitions=1)
        self.bus.create_topics(TOPICS)
        self.log = ModelLog(self.bus)
        self.registry = local_registry(home)
        self.clock = ManualClock(NOW)
        self._streams = 0

    def champion(self) -> ModelEvent:
        """Register a version and put it in force."""
        scores = expit(np.random.default_rng(1).normal(-3.0, 1.5, 4_000)).astype(np.float32)
        references = {name: reference(np.ones(2, dtype=np.float32)) for name in FRAUD.feature_names}
        fields: dict[str, Any] = {
            "feature_names": FRAUD.feature_names,
            "feature_version": FRAUD.version,
            "thresholds": THRESHOLDS,
            "references": references | {"score": reference(scores)},
            "metrics": {"average_precision": 0.75, "recall": 0.6, "expected_calibration_error": 0.01},
            "intervals": {"recall": (0.5, 0.7), "expected_calibration_error": (0.005, 0.02)},
        }
        unprobed = OnnxModel(manifest_of(1, champion_onnx(), **fields), champion_onnx())
        rows = np.zeros((2, WIDTH), dtype=np.float32)
        rows[1, AMOUNT] = -2
        pairs = zip(rows.tolist(), unprobed.scores_alone(rows).tolist(), strict=True)
        probes = [Probe(values=values, score=score) for values, score in pairs]
        manifest, digest = register(self.registry, champion_onnx(), probes=probes, **fields)
        event = registered(manifest, digest)
        promoted = model_event(
            "promoted",
            manifest.model_version,
            model_digest=event.model_digest,
            manifest_digest=digest,
            feature_version=event.feature_version,
        )
        return self.log.append(lambda _: [event, promoted])[-1]

    def stream(
        self,
        *,
        days: int = 16,
        rate: float = 0.0,
        version: int = 1,
        first_day: int = 0,
        labels: Sequence[str] = ("fraud",),
    ) -> None:
        """Archive payments that a version decided about; log odds of fraud are higher by `rate` than it says.

        labels: what is said of each fraud, one day apart.
        """
        rng, self._streams = np.random.default_rng([days, version]), self._streams + 1
        vectors, decisions, told = [], [], []
        for number, at in enumerate(np.sort(rng.uniform(first_day, first_day + days, 60 * days))):
            log_odds = rng.normal(-3.0, 1.5)
            values = [0.0] * WIDTH
            values[AMOUNT] = log_odds
            amount, card = int(rng.lognormal(8.0, 1.0)), f"card-{rng.integers(90)}"
            name = f"v{version}-{self._streams}-{number}"
            made = vector(name, after=at * DAY, values=values, amount=amount, card_id=card)
            vectors.append(made)
            verdict = decision(made, float(np.float32(expit(log_odds))), [], "approve")
            decisions.append(replace(verdict, model_version=version))
            if rng.random() < expit(log_odds + rate):
                told += [
                    label(made.transaction, said, known_after=(1 + later) * DAY)  # type: ignore[arg-type]
                    for later, said in enumerate(labels)
                ]
        there, offset = archive(self.home), self._streams * 100_000
        for topic, events in ((FEATURES, vectors), (SCORES, decisions), (LABELS, told)):
            there.write(delivered(topic, events, first_offset=offset))

    def recalibrator(self, **changes: Any) -> Recalibrator:
        small = {"recalibration_frauds_min": 30, "reviews_a_day_max": None} | changes
        return Recalibrator(self.home, self.registry, FRAUD, self.log, settings(self.home, **small))

    def job(self, **changes: Any) -> RecalibrationJob:
        return RecalibrationJob(self.recalibrator(**changes), self.clock, interval_seconds=60.0)

    def model(self, event: ModelEvent) -> OnnxModel:
        files = self.registry.load(
            "fraud", event.model_version, digest=event.model_digest, manifest_digest=event.manifest_digest
        )
        return OnnxModel(*files)
