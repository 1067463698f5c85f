"""When to send what: as fast as ingest accepts, at a multiple of event time, or at a rate."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from services.ingest.replay.plan import ReplayPlan
from shared.files.stream import Step

_TICK_SECONDS = 0.05


class Chunk(NamedTuple):
    """Steps to send together, `due_seconds` after the start."""

    steps: Sequence[Step]
    due_seconds: float


class Pacer:
    """Groups steps into chunks: as large as allowed, but holding nothing back for more than a tick."""

    def __init__(self, plan: ReplayPlan, elapsed_seconds: Callable[[], float]) -> None:
        self._plan = plan
        self._elapsed_seconds = elapsed_seconds
        self._began_seconds: float | None = None
        self._first: datetime | None = None
        self._count = 0

    def chunks(self, steps: Iterator[Step]) -> Iterator[Chunk]:
        """Yield every step once, in order."""
        gathered: list[Step] = []
        due = 0.0
        limit = 0.0
        for step in steps:
            step_due = self._due_seconds(step)
            if gathered and (len(gathered) == self._plan.batch_events or step_due > limit):
                yield Chunk(gathered, due)
                gathered = []
            if not gathered:
                # What is overdue goes together, however long it should have taken.
                limit = max(step_due + _TICK_SECONDS, self._elapsed_seconds())
            gathered.append(step)
            due = step_due
        if gathered:
            yield Chunk(gathered, due)

    def _due_seconds(self, step: Step) -> float:
        if self._began_seconds is None:
            # Finding the first step took time of its own: rows skipped, or sent by an earlier run.
            self._began_seconds = self._elapsed_seconds()
        if self._plan.rate:
            self._count += 1
            return self._began_seconds + (self._count - 1) / self._plan.rate
        if not self._plan.speed or step.problem is not None:
            return self._began_seconds
        self._first = self._first or step.occurred_at
        return self._began_seconds + (step.occurred_at - self._first).total_seconds() / self._plan.speed
