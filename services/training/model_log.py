"""The `models` topic: what has been announced about models, and the one way to announce more, for any process.

Each record carries the SHA-256 of the one before (shared/models/audit.py), so two writers must never follow the same
record. Whoever appends therefore first becomes the topic's sole writer, which fences everybody else, and only then
reads what to follow.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from msgspec.structs import replace as with_fields
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from shared.bus.base import Bus, BusUnavailableError, FencedError, Outgoing, Record
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import ModelEvent
from shared.contracts.topics import MODELS
from shared.models import lineage
from shared.models.audit import link

ACTOR = "training"
"""Who announces the outcome of a run."""
ATTEMPTS_MAX = 20
"""Tries to append before it is given up; each takes less than a second, and the pauses between them grow."""
_PAUSE_SECONDS_MAX = 2.0
_POLL_SECONDS = 0.2

Make = Callable[["History"], Sequence[ModelEvent]]


@dataclass(frozen=True)
class History:
    """The events on `models`, oldest first, and the digest that the next one must follow."""

    events: tuple[ModelEvent, ...] = ()
    head: str | None = None

    def champion(self, model_name: str) -> ModelEvent | None:
        """Return the event that put the version in force that is in force now: a promotion or a rollback."""
        return lineage.in_force(self.events, model_name)

    def last_run(self, model_name: str) -> datetime | None:
        """Return when the latest training run read its data: the time of every event it announced."""
        runs = (e.occurred_at for e in self.events if e.model_name == model_name and e.actor == ACTOR)
        return max(runs, default=None)

    def holds(self, event_ids: frozenset[str]) -> bool:
        """Tell whether one of these has been announced."""
        return any(event.event_id in event_ids for event in self.events)

    def followed_by(self, event: ModelEvent) -> "History":
        """Return the history after `event`, which must carry `head`."""
        return replace(self, events=(*self.events, event), head=link(codec.encode(event)))


class ModelLog:
    """Reads `models`, and appends to it."""

    def __init__(self, bus: Bus, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Remember where the log is; `sleep` takes seconds."""
        self._bus = bus
        self._sleep = sleep

    def records(self) -> list[Record]:
        """Return the whole topic, oldest first; it grows by a few records a training run.

        Raises:
            BusUnavailableError: the log does not answer.
        """
        records: list[Record] = []
        with contextlib.closing(self._bus.tail([MODELS.name], start="oldest")) as tail:
            while not tail.caught_up():
                records += tail.poll(wait_seconds=_POLL_SECONDS)
        return records

    def history(self) -> History:
        """Return what has been announced up to now; raises as `records`."""
        return _history(self.records())

    def append(self, make: Make) -> list[ModelEvent]:
        """Announce what `make` returns; return it as written, linked to what it follows.

        make: given everything announced so far, returns events whose `previous_digest` does not matter; none, to write
            nothing. Nothing comes between what it is given and what it returns. It is called again when another process
            was faster, so it must be quick, and do nothing but decide.

        Raises:
            BusUnavailableError: the log does not answer, and nothing or all of it was written: `history` tells; or
                others keep writing, and nothing was.
            BadRecordError: `make` returned what nobody could read, so nothing was written.
        """
        retrying = Retrying(
            retry=retry_if_exception_type(FencedError),
            wait=wait_random_exponential(multiplier=0.5, max=_PAUSE_SECONDS_MAX),
            stop=stop_after_attempt(ATTEMPTS_MAX),
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(self._append, make)
        except FencedError as error:
            raise BusUnavailableError(
                f"{ATTEMPTS_MAX} times another process began to write to {MODELS.name} first; try again"
            ) from error

    def _append(self, make: Make) -> list[ModelEvent]:
        with contextlib.closing(self._bus.sole_writer(MODELS.name)) as writer:
            history = self.history()
            events = _linked(make(history), history)
            if events:
                writer.write([Outgoing(MODELS.name, MODELS.key_of(e).encode(), codec.encode(e)) for e in events])
            return events


def _linked(events: Sequence[ModelEvent], history: History) -> list[ModelEvent]:
    """Return `events`, each following the one before; read back, since only reading checks every bound of a field."""
    linked: list[ModelEvent] = []
    for event in events:
        value = codec.encode(with_fields(event, previous_digest=history.head))
        linked.append(codec.decode(ModelEvent, value))
        history = history.followed_by(linked[-1])
    return linked


def _history(records: Sequence[Record]) -> History:
    events = []
    for record in records:
        try:
            events.append(codec.decode(ModelEvent, record.value or b""))
        except BadRecordError:
            continue  # somebody else wrote it; the chain goes on behind it, and the audit points at it
    return History(tuple(events), link(records[-1].value or b"") if records else None)
