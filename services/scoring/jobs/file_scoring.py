"""A file of payments decided, in order of time, as the platform would have."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct

from services.scoring.jobs.history import PrivateHistory
from services.scoring.jobs.listing import Listed
from services.scoring.jobs.payments import Batch, Refusal, batches, row_of
from services.scoring.jobs.results import ResultRow, finish
from services.scoring.model import ScoringModel
from services.scoring.policy.policy import Policy
from services.scoring.roles import Roles
from services.scoring.scorer import Scorer
from shared.contracts.events import Decision, FeatureVector, ListEvent, Verdict
from shared.contracts.ids import new_trace_id
from shared.contracts.topics import TRANSACTIONS
from shared.features.applying import Arrived
from shared.features.engine import Arrival, FeatureEngine
from shared.features.tiles import LATENESS
from shared.files.event_file import EventFile
from shared.files.sources import open_source
from shared.files.stream import steps
from shared.intake.problems import Problem

RECORDS_AT_ONCE = 500
_encoder = msgspec.json.Encoder(enc_hook=str)

Decide = Callable[[Sequence[FeatureVector]], Sequence[Decision]]
"""Vectors to decisions, one each; see decider."""
HistoryUntil = Callable[[datetime], Iterable[Sequence[Arrived]]]
"""What happened before a time, in batches, in order of arrival."""


class Progress(Struct, frozen=True, kw_only=True):
    """How far a file is decided.

    fraction: of the file, 0 to 1. refused: payments and labels. verdicts: how many, by decision.
    occurred_at: event time reached.
    """

    fraction: float = 0.0
    decided: int = 0
    refused: int = 0
    verdicts: dict[str, int] = {}
    occurred_at: datetime | None = None


def decider(model: ScoringModel, policy: Policy, entries: Iterable[ListEvent], *, fallback: Verdict) -> Decide:
    """Return what decides by one model, one policy and the entries of lists as they stand."""
    listed = Listed(entries)
    scorer = Scorer(lambda: Roles(champion=model), lambda: policy, fallback=fallback)
    return lambda vectors: scorer.decided(
        vectors, [listed.matched(vector.transaction) for vector in vectors], path=None
    )


class FileScoring:
    """Decides files; each on states of its own, which begin empty or with a history that is given."""

    def __init__(self, engine: FeatureEngine, decide: Decide) -> None:
        self._engine = engine
        self._decide = decide

    def run(
        self,
        file: EventFile,
        *,
        out: Path,
        rejected: Path,
        tell: Callable[[Progress], None] = lambda _: None,
        history: HistoryUntil = lambda _: (),
    ) -> Progress:
        """Write the decisions to `out`, whose suffix tells the format, and what was refused to `rejected`.

        Both are written beside and appear when they are whole; `rejected` only where something was refused. `tell` is
        called after each batch; what it raises ends the run and leaves neither.

        Raises:
            FileError: the file cannot be read, its columns do not fit, or it is not in order of time.
            OSError: the disk does not take the results.
        """
        source = open_source(file.file)
        found = batches(steps(file, source), trace_id=new_trace_id(), records_max=RECORDS_AT_ONCE, span_max=LATENESS)
        progress = Progress()
        with _growing(out) as decisions, _growing(rejected) as refusals:
            for decided, refused, occurred_at in self._decided(found, history):
                decisions.writelines(_encoder.encode(ResultRow.of(decision)) + b"\n" for decision in decided)
                refusals.writelines(_encoder.encode(refusal) + b"\n" for refusal in refused)
                progress = _followed(progress, source.fraction(), decided, refused, occurred_at)
                tell(progress)
            decisions.close()
            finish(aside(out), out)
            refusals.close()
            rejected.unlink(missing_ok=True)
            if progress.refused:
                aside(rejected).replace(rejected)
        return progress

    def _decided(
        self, found: Iterator[Batch], history: HistoryUntil
    ) -> Iterator[tuple[Sequence[Decision], Sequence[Refusal], datetime | None]]:
        """Yield what became of each batch, and the event time it reached."""
        private: PrivateHistory | None = None
        for batch in found:
            if batch.arrived and private is None:
                first = batch.arrived[0].event.occurred_at
                private = PrivateHistory(self._engine, first)
                for earlier in history(first):
                    private.remember(earlier)
            if private is None:
                yield [], batch.refusals, None
                continue
            rows = private.rows(batch.arrived)
            repeated = [_repeated(row.arrival) for row in rows if row.vector is None]
            decided = self._decide([row.vector for row in rows if row.vector is not None])
            reached = batch.arrived[-1].event.occurred_at if batch.arrived else None
            yield decided, [*batch.refusals, *repeated], reached


def _repeated(arrival: Arrival) -> Refusal:
    payment, origin = arrival
    problem = Problem(
        code="repeated",
        message=f"{payment.transaction_id} of {payment.occurred_at.isoformat()} came before; it is decided once",
        field="transaction_id",
    )
    event = msgspec.to_builtins(payment)
    return Refusal(row=row_of(origin), topic=TRANSACTIONS.name, event=event, error=problem)


def _followed(
    progress: Progress,
    fraction: float,
    decided: Sequence[Decision],
    refused: Sequence[Refusal],
    occurred_at: datetime | None,
) -> Progress:
    return Progress(
        fraction=fraction,
        decided=progress.decided + len(decided),
        refused=progress.refused + len(refused),
        verdicts=dict(Counter(progress.verdicts) + Counter(decision.decision for decision in decided)),
        occurred_at=occurred_at or progress.occurred_at,
    )


@contextlib.contextmanager
def _growing(path: Path) -> Iterator[BinaryIO]:
    """Yield the file that is to become `path`; remove it where it does not."""
    growing = aside(path)
    try:
        with growing.open("wb") as file:
            yield file
    finally:
        growing.unlink(missing_ok=True)


def aside(path: Path) -> Path:
    """Return where a file grows before it is whole."""
    return path.with_name(f".{path.name}.part")
