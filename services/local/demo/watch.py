"""Reads what the platform says while the demo runs: decisions, drift alarms, retraining requests, model events."""

import threading
from typing import Generic, NamedTuple, TypeVar

from services.local.demo.ledger import Ledger
from shared.bus.base import Bus, BusUnavailableError, Record
from shared.contracts import codec
from shared.contracts.events import Decision, DriftAlarm, ModelEvent, RetrainingRequest
from shared.contracts.topics import DRIFT, MODELS, RETRAINING, SCORES
from shared.runtime.clock import Clock

_POLL_SECONDS = 0.2
_STOP_SECONDS_MAX = 15.0

E = TypeVar("E", DriftAlarm, RetrainingRequest, ModelEvent)


class Seen(NamedTuple, Generic[E]):
    """An event and when it was read, in monotonic seconds."""

    event: E
    at: float


class News:
    """The platform's rarer events in the order read; only ever appended to."""

    def __init__(self) -> None:
        self.events: list[Seen[DriftAlarm] | Seen[RetrainingRequest] | Seen[ModelEvent]] = []

    def first(self, kind: type[E], model_name: str, *, since: float) -> Seen[E] | None:
        """Return the first event of that kind about that model that was read at `since` or later."""
        of_kind = (Seen(s.event, s.at) for s in self.events if isinstance(s.event, kind) and s.at >= since)
        return next((s for s in of_kind if s.event.model_name == model_name), None)

    def promoted(self, model_name: str, *, above: int) -> Seen[ModelEvent] | None:
        """Return the first promotion of a version of that model above `above`."""
        steps = self._steps(model_name)
        return next((s for s in steps if s.event.action == "promoted" and s.event.model_version > above), None)

    def refused(self, model_name: str, *, since: float = 0.0) -> list[Seen[ModelEvent]]:
        """Return what kept versions of that model out of service, as read at `since` or later."""
        return [s for s in self._steps(model_name) if s.event.action == "refused" and s.at >= since]

    def _steps(self, model_name: str) -> list[Seen[ModelEvent]]:
        steps = (Seen(s.event, s.at) for s in self.events if isinstance(s.event, ModelEvent))
        return [s for s in steps if s.event.model_name == model_name]


class Watch:
    """A thread that tails four topics into a ledger and the news."""

    def __init__(self, bus: Bus, ledger: Ledger, clock: Clock) -> None:
        """Open the tail behind whatever the log holds by now."""
        self.news = News()
        self.failure: str | None = None
        self._ledger = ledger
        self._clock = clock
        self._stop = threading.Event()
        self._tail = bus.tail([SCORES.name, DRIFT.name, RETRAINING.name, MODELS.name], start="newest")
        self._thread = threading.Thread(target=self._run, name="demo-watch")
        self._thread.start()

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join(_STOP_SECONDS_MAX)
        self._tail.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                records = self._tail.poll(wait_seconds=_POLL_SECONDS)
            except BusUnavailableError as error:
                self.failure = f"decisions could not be read: {error}"
                return
            at = self._clock.monotonic_seconds()
            for record in records:
                self._note(record, at)

    def _note(self, record: Record, at: float) -> None:
        value = record.value or b""
        if record.topic == SCORES.name:
            self._ledger.decide(codec.decode(Decision, value), at=at)
        elif record.topic == DRIFT.name:
            self.news.events.append(Seen(codec.decode(DriftAlarm, value), at))
        elif record.topic == RETRAINING.name:
            self.news.events.append(Seen(codec.decode(RetrainingRequest, value), at))
        else:
            self.news.events.append(Seen(codec.decode(ModelEvent, value), at))
