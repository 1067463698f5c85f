"""A replay from its first batch to its summary."""

import itertools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from services.ingest.replay.checkpoint import Checkpoint, Position
from services.ingest.replay.courier import Courier
from services.ingest.replay.pacing import Chunk, Pacer
from services.ingest.replay.plan import ReplayError, ReplayPlan
from shared.contracts.topics import LABELS
from shared.files.event_file import TOPICS
from shared.files.sources import Source, open_source
from shared.files.stream import Step, steps
from shared.intake.problems import Problem
from shared.runtime.clock import Clock, SystemClock


@dataclass(frozen=True)
class ReplayProgress:
    """Where a replay is.

    fraction: of the file, 0 to 1. occurred_at: event time reached. waiting: why nothing moves, or None.
    """

    fraction: float
    accepted: int
    rejected: int
    occurred_at: datetime | None
    waiting: str | None = None


@dataclass(frozen=True)
class ReplaySummary:
    """What a finished replay did.

    accepted, rejected: over all its runs. resumed: steps that earlier runs had done. sent: accepted by this run,
    by topic. rejected_file: every refused event and why; None where none was.
    """

    accepted: int
    rejected: int
    resumed: int
    sent: dict[str, int]
    seconds: float
    rejected_file: Path | None


def replay(  # noqa: PLR0913 - each is a separate choice of the caller
    plan: ReplayPlan,
    *,
    base_url: str,
    home: Path,
    api_key: str | None = None,
    progress: Callable[[ReplayProgress], None] = lambda _: None,
    restart: bool = False,
    patience_seconds: float = 120.0,
    clock: Clock | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> ReplaySummary:
    """Send everything `plan` says to ingest at `base_url`, in event-time order; go on where the last run stopped.

    api_key: for an ingest that asks for one.
    home: progress and refused events are kept below `<home>/replay`. restart: begin again.
    patience_seconds: how long ingest may stay away before the replay gives up.

    Raises:
        FileError: the plan does not fit the file, or the file cannot be read or is not sorted.
        ReplayError: ingest stays away, or refuses a whole batch.
    """
    source = open_source(plan.file)
    checkpoint = Checkpoint(home, plan.digest(base_url))
    if restart or checkpoint.read().steps == 0:
        checkpoint.restart()
    run = _Run(source, checkpoint, progress, checkpoint.read())
    clock = clock or SystemClock()
    started = clock.monotonic_seconds()

    def elapsed_seconds() -> float:
        return clock.monotonic_seconds() - started

    remaining = itertools.islice(steps(plan, source), run.position.steps, None)
    chunks = Pacer(plan, elapsed_seconds).chunks(remaining)
    with (
        closing(Courier(base_url, api_key=api_key, patience_seconds=patience_seconds, waiting=run.say)) as courier,
        ThreadPoolExecutor(1, thread_name_prefix="replay-reader") as reader,
    ):
        # The next chunk is read while this one travels; chunks travel one at a time, so their order holds.
        upcoming = reader.submit(next, chunks, None)
        while (chunk := upcoming.result()) is not None:
            upcoming = reader.submit(next, chunks, None)
            if (early := chunk.due_seconds - elapsed_seconds()) > 0:
                sleep(early)
            run.send(courier, chunk)
    checkpoint.finish()
    return run.summary(elapsed_seconds())


@dataclass
class _Run:
    """One run of a replay."""

    source: Source
    checkpoint: Checkpoint
    progress: Callable[[ReplayProgress], None]
    position: Position
    sent: dict[str, int] = field(default_factory=dict)
    occurred_at: datetime | None = None
    resumed: int = field(init=False)

    def __post_init__(self) -> None:
        self.resumed = self.position.steps

    def send(self, courier: Courier, chunk: Chunk) -> None:
        """Send a chunk, and remember that it was.

        Its labels go first: a label that comes early changes nothing before the time it carries, one that comes late is
        missing from the payments in between.
        """
        refusals = [_refusal(step, step.problem) for step in chunk.steps if step.problem is not None]
        for topic in sorted(TOPICS, key=lambda name: name != LABELS.name):
            batch = [step for step in chunk.steps if step.topic == topic and step.problem is None]
            if batch:
                refused = _post(courier, topic, batch)
                refusals += refused
                self.sent[topic] = self.sent.get(topic, 0) + len(batch) - len(refused)
        if len(refusals) == len(chunk.steps) and self.position.steps == 0:
            problem = refusals[0]["error"]
            raise ReplayError(
                f"nothing was taken of the first {len(chunk.steps)} events; the first, row {refusals[0]['row']}: "
                f"{problem.field}: {problem.message} {problem.hint or ''}".rstrip()
            )
        self.checkpoint.add_rejected(refusals)
        self.position = Position(
            steps=self.position.steps + len(chunk.steps),
            accepted=self.position.accepted + len(chunk.steps) - len(refusals),
            rejected=self.position.rejected + len(refusals),
        )
        self.checkpoint.write(self.position)
        self.occurred_at = chunk.steps[-1].occurred_at
        self.say(None)

    def say(self, waiting: str | None) -> None:
        """Tell the caller where the replay is."""
        at = self.position
        self.progress(
            ReplayProgress(self.source.fraction(), at.accepted, at.rejected, self.occurred_at, waiting),
        )

    def summary(self, seconds: float) -> ReplaySummary:
        """Return what was done."""
        at = self.position
        rejected_file = self.checkpoint.rejected_file if at.rejected else None
        sent = {topic: self.sent[topic] for topic in TOPICS if topic in self.sent}
        return ReplaySummary(at.accepted, at.rejected, self.resumed, sent, seconds, rejected_file)


def _post(courier: Courier, topic: str, batch: Sequence[Step]) -> list[dict[str, Any]]:
    items = courier.post(topic, [step.event for step in batch])
    return [
        _refusal(step, item.error) for step, item in zip(batch, items, strict=True) if isinstance(item.error, Problem)
    ]


def _refusal(step: Step, problem: Problem) -> dict[str, Any]:
    return {"row": step.row, "topic": step.topic, "event": step.event, "error": problem}
