"""The request handler around a log in memory, with a trainer that does what a test tells it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from services.training.attempts import Attempts
from services.training.handlers import LIMITED, RequestHandler
from services.training.model_log import ModelLog
from services.training.outcome import Step
from shared.bus.memory import MemoryBus
from shared.contracts.events import ModelEvent, RetrainingRequest
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import RETRAINING, TOPICS
from shared.features.catalog.fraud import FRAUD
from shared.runtime.clock import ManualClock
from shared.runtime.loop import Delivery
from tests.events import START
from tests.unit.training.training_scene import record

SECOND = timedelta(seconds=1)
INTERVAL = timedelta(minutes=1)


class NumberingTrainer:
    """Every run makes the next version and promotes it, unless `during` ends the run otherwise."""

    feature_version = FRAUD.version

    def __init__(self) -> None:
        self.judged_by: list[int] = []
        self.shown: list[ModelEvent] = []
        self.during: Callable[[], None] = lambda: None

    def run(self, champion: ModelEvent | None, *, now: datetime) -> list[Step]:  # noqa: ARG002 - no archive to read here
        self.judged_by.append(champion.model_version if champion else 0)
        self.during()
        version = len(self.judged_by)
        registered = Step(
            "registered",
            "passed the export gate",
            version,
            model_digest=f"{version:064x}",
            manifest_digest="a" * 64,
            data_digest="d" * 64,
            metrics={"average_precision": 0.5},
        )
        return [registered, Step("promoted", "better", version, model_digest=f"{version:064x}")]

    def show_champion(self, promoted: ModelEvent) -> None:
        self.shown.append(promoted)


@dataclass
class Service:
    """A training process as far as requests go; `restarted` is the one that comes after it."""

    home: Path
    bus: MemoryBus = field(default_factory=lambda: MemoryBus(partitions=4))
    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    trainer: NumberingTrainer = field(default_factory=NumberingTrainer)
    recommender: NumberingTrainer = field(default_factory=NumberingTrainer)

    def __post_init__(self) -> None:
        self.bus.create_topics(TOPICS)
        self.log = ModelLog(self.bus)
        self.handler = RequestHandler(
            {"fraud": self.trainer, "recommendation": self.recommender},
            self.log,
            Attempts(self.home / "attempts"),
            self.clock,
            interval=INTERVAL,
        )

    def restarted(self) -> "Service":
        return Service(self.home, self.bus, self.clock, self.trainer, self.recommender)

    def requested(self, name: str, *, by: str = "ada", model_name: str = "fraud") -> Delivery:
        """Return a request that is made now; the clock then moves on."""
        now = self.clock.now()
        request = RetrainingRequest(
            event_id=derived_event_id(now, name),
            occurred_at=now,
            trace_id=f"{len(name):032x}",
            model_name=model_name,
            requested_by=by,
            reason="a test",
        )
        self.clock.advance(SECOND)
        return Delivery(record(RETRAINING, request, produced_ms=int(now.timestamp() * 1000)), request)

    def alarmed(self, name: str) -> Delivery:
        return self.requested(name, by=LIMITED)

    def answered(self, request: Delivery) -> list[ModelEvent]:
        """Handle a request; return what it added to the log."""
        before = len(self.log.history().events)
        assert self.handler([request]) == []
        return list(self.log.history().events[before:])


def actions(events: list[ModelEvent]) -> list[tuple[str, int]]:
    return [(event.action, event.model_version) for event in events]
