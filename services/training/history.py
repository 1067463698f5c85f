"""What has been announced on `models` so far: who is champion, what was answered, where the hash chain ends."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from shared.bus.base import Bus, Record
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import ModelEvent
from shared.contracts.topics import MODELS
from shared.models.audit import link

ACTOR = "training"
_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class History:
    """The events on `models`, oldest first, and the digest that the next one must follow."""

    events: tuple[ModelEvent, ...] = ()
    head: str | None = None

    def champion(self, model_name: str) -> ModelEvent | None:
        """Return the promotion that is in force."""
        promotions = (e for e in reversed(self.events) if e.model_name == model_name and e.action == "promoted")
        return next(promotions, None)

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


def read_history(bus: Bus) -> History:
    """Read the whole topic; it grows by a few records a training run.

    Raises:
        BusUnavailableError: the log does not answer.
    """
    tail = bus.tail([MODELS.name], start="oldest")
    try:
        records: list[Record] = []
        while not tail.caught_up():
            records += tail.poll(wait_seconds=_POLL_SECONDS)
    finally:
        tail.close()
    return _history(records)


def _history(records: Sequence[Record]) -> History:
    events = []
    for record in records:
        try:
            events.append(codec.decode(ModelEvent, record.value or b""))
        except BadRecordError:
            continue  # somebody else wrote it; the chain goes on behind it, and the audit points at it
    return History(tuple(events), link(records[-1].value or b"") if records else None)
