"""A model in service, its decisions and their labels, as the drift service reads them."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from services.drift.handlers import Monitor
from services.drift.settings import DriftSettings
from services.drift.shown.status import ModelStatus
from shared.bus.base import Outgoing, Record
from shared.contracts import codec
from shared.contracts.events import Decision, DriftAlarm, Event, FeatureVector, Label, ModelEvent, RetrainingRequest
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import BY_NAME, TOPICS
from shared.models.manifest import Manifest, Reference, Thresholds
from shared.models.packages import Packages
from shared.runtime.clock import ManualClock
from shared.runtime.loop import Delivery
from tests.events import FRESH, START, TRACE_ID, label, payment

ONNX = b"not run by the drift service"
FEATURE_VERSION = "f" * 64
FEATURE_NAMES = ["amount", "weekend"]
NOW = datetime(2026, 6, 1, tzinfo=UTC)
PACE = timedelta(minutes=10)
MISSED = [False] * 40
"""As many frauds as are needed to see that a model misses all; it is known of 0.7 of them on held-out payments."""


def manifest(version: int = 1, *, recall: float = 0.7, **fields: Any) -> Manifest:
    defaults: dict[str, Any] = {
        "model_name": "fraud",
        "model_version": version,
        "model_digest": digest(ONNX + bytes([version])),
        "feature_set": "fraud",
        "feature_version": FEATURE_VERSION,
        "feature_names": FEATURE_NAMES,
        "estimator": "test",
        "family": "random_forest",
        "trained_at": START,
        "data_digest": "0" * 64,
        "training_rows": 1000,
        "metrics": {"recall": recall},
        "thresholds": Thresholds(review=0.5, decline=0.9),
        "references": {
            "amount": Reference(edges=[10.0, 20.0], fractions=[0.25, 0.5, 0.25]),
            "weekend": Reference(edges=[0.5], fractions=[5 / 7, 2 / 7]),
            "score": Reference(edges=[0.5], fractions=[0.9, 0.1]),
        },
    }
    return Manifest(**(defaults | fields))


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def register(home: Path, model: Manifest) -> None:
    Packages(home / "models").add(model, ONNX + bytes([model.model_version]))


def promotion(version: int = 1, **fields: Any) -> ModelEvent:
    defaults: dict[str, Any] = {
        "event_id": derived_event_id(START, "promoted", str(version)),
        "occurred_at": START,
        "trace_id": TRACE_ID,
        "model_name": "fraud",
        "model_version": version,
        "action": "promoted",
        "model_digest": digest(ONNX + bytes([version])),
        "feature_version": FEATURE_VERSION,
        "actor": "training",
        "reason": "passed the gates",
        "previous_digest": None,
    }
    return ModelEvent(**(defaults | fields))


def decision(number: int, *, flagged: bool, version: int = 1, after: timedelta = timedelta()) -> Decision:
    of = payment(f"t{number}", after=after, card_id=f"card-{number}")
    return Decision(
        event_id=derived_event_id(of.occurred_at, "scores", of.event_id),
        occurred_at=of.occurred_at,
        trace_id=TRACE_ID,
        transaction_id=of.transaction_id,
        card_id=of.card_id,
        decision="review" if flagged else "approve",
        score=0.8 if flagged else 0.1,
        reasons=[],
        model_name="fraud",
        model_version=version,
        model_digest=None,
        feature_version=FEATURE_VERSION,
        vector_digest="1" * 64,
        policy_digest="2" * 64,
    )


def fraud(number: int, *, after: timedelta = timedelta()) -> Label:
    return label(payment(f"t{number}", after=after, card_id=f"card-{number}"), known_after=timedelta(days=1))


def vector(number: int, *, amount: float = 15.0, weekend: float = 0.0, after: timedelta = timedelta()) -> FeatureVector:
    of = payment(f"t{number}", after=after, card_id=f"card-{number}")
    return FeatureVector(
        event_id=derived_event_id(of.occurred_at, "features", of.event_id),
        occurred_at=of.occurred_at,
        trace_id=TRACE_ID,
        transaction=of,
        feature_set="fraud",
        feature_version=FEATURE_VERSION,
        values=[amount, weekend],
        freshness=FRESH,
    )


def decided(number: int, *, flagged: bool, version: int = 1) -> list[Event]:
    """Return a payment's features and the decision about it; payments are PACE apart."""
    after = number * PACE
    return [vector(number, after=after), decision(number, flagged=flagged, version=version, after=after)]


def decided_frauds(hits: Iterable[bool], *, first: int = 0, version: int = 1) -> list[Event]:
    """Return frauds as they were decided, then their labels: `hits` tells which the model flagged."""
    numbered = list(enumerate(hits, first))
    payments = [event for number, hit in numbered for event in decided(number, flagged=hit, version=version)]
    return [*payments, *(fraud(number, after=number * PACE) for number, _ in numbered)]


class Log:
    """Numbers what it is given, a millisecond apart, all in one partition a topic."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._offsets: dict[str, int] = defaultdict(int)

    def begin_log_anew(self) -> None:
        """Number what comes from 0 again, as a broker does whose disk was replaced."""
        self._offsets.clear()

    def deliveries(self, events: Iterable[Event]) -> list[Delivery]:
        """Records as the log would deliver them."""
        made = []
        for event in events:
            topic = next(topic for topic in TOPICS if topic.event is type(event))
            self.now_ms += 1
            record = Record(
                topic.name, 0, self._offsets[topic.name], topic.key_of(event).encode(), codec.encode(event), self.now_ms
            )
            self._offsets[topic.name] += 1
            made.append(Delivery(record, event))
        return made


class Scene(Log):
    """A monitor, and a log before it."""

    def __init__(self, home: Path, **settings: Any) -> None:
        super().__init__()
        self.clock = ManualClock(NOW)
        self.home = home
        self.monitor = Monitor(
            Packages(home / "models").manifest, DriftSettings(headrace_home=home, **settings), self.clock
        )

    def feed(self, events: Iterable[Event]) -> list[Event]:
        """Deliver one batch; return the events it was answered with."""
        return decoded(self.monitor(self.deliveries(events)))

    def status(self) -> ModelStatus:
        """What the service says of the model in force."""
        status = self.monitor.status()
        assert status is not None
        return status

    def promote(self, version: int = 1, **fields: Any) -> None:
        register(self.home, manifest(version, **fields))
        assert self.feed([promotion(version)]) == []


def decoded(outgoing: Sequence[Outgoing]) -> list[Event]:
    return [codec.decode_record(BY_NAME[sent.topic], sent.key, sent.value) for sent in outgoing]


def alarms(events: Iterable[Event]) -> list[DriftAlarm]:
    return [event for event in events if isinstance(event, DriftAlarm)]


def requests(events: Iterable[Event]) -> list[RetrainingRequest]:
    return [event for event in events if isinstance(event, RetrainingRequest)]


def rewrite_manifest(home: Path, version: int, content: Manifest) -> None:
    """Put `content` in the place of a registered manifest, as no honest writer would."""
    path = home / "models" / "fraud" / str(version) / "manifest.json"
    path.write_bytes(msgspec.json.encode(content))
