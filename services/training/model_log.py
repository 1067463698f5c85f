"""The `models` topic: what has been announced about models, and the one way to announce more, for any process."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.bus.base import Bus, Record
from shared.bus.chained_log import Chain, ChainedLog
from shared.contracts.events import ModelEvent
from shared.contracts.topics import MODELS
from shared.models import lineage

ACTOR = "training"
"""Who announces the outcome of a run."""


@dataclass(frozen=True)
class History(Chain[ModelEvent]):
    """The events on `models`, oldest first, and the digest that the next one must follow."""

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


Make = Callable[[History], Sequence[ModelEvent]]


class ModelLog:
    """Reads `models`, and appends to it."""

    def __init__(self, bus: Bus, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Remember where the log is; `sleep` takes seconds."""
        self._log = ChainedLog(bus, MODELS, ModelEvent, sleep=sleep)

    def records(self) -> list[Record]:
        """Return the whole topic, oldest first; it grows by a few records a training run.

        Raises:
            BusUnavailableError: the log does not answer.
        """
        return self._log.records()

    def history(self) -> History:
        """Return what has been announced up to now; raises as `records`."""
        return _history(self._log.chain())

    def append(self, make: Make) -> list[ModelEvent]:
        """Announce what `make` returns, given the history; as ChainedLog.append, which also says what it raises."""
        return self._log.append(lambda chain: make(_history(chain)))


def _history(chain: Chain[ModelEvent]) -> History:
    return History(chain.events, chain.head)
