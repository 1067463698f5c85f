"""Payments scored at once, over REST, on the same features and by the same models as the stream.

What comes in before the event loop's next turn is worked on together: one round trip to the store applies the payments
and reads what is known, one call of each graph scores them, one more round trip claims the answers, and one write puts
them into the journal. Then they are answered; the log gets them from the journal (drain.py).

The claim settles which decision is the one: of two that answer the same payment, the first in the store is answered by
both and is what the stream publishes. While the store is away the journal alone knows, and the drain claims later.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from services.scoring.answers import ANSWERED_FOR, Unclaimed, claims, first_answer
from services.scoring.deciding import decision_id_of
from services.scoring.journal import Entry, Journal, JournalClosedError
from services.scoring.scorer import Scorer
from services.scoring.state import Known, StateReader
from shared.contracts import codec
from shared.contracts.events import FeatureVector, Transaction
from shared.features.progress import milliseconds
from shared.intake.problems import NotTakenError, UnacknowledgedError
from shared.intake.taking import Taken
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.tracing.acting import acting, step, work_on
from shared.store.base import AsyncStore, StoreUnavailableError

AT_ONCE_MAX = 64
"""More than this many payments would hold up the event loop for too long."""


class Limits(NamedTuple):
    """How much may be waiting, and for how long.

    state_seconds: for the store, a payment. open_payments: in work. journal_bytes: not on the log yet.
    """

    state_seconds: float
    open_payments: int
    journal_bytes: int


class Answer(NamedTuple):
    """The decision on a payment, encoded, and its vector; computed again where the answer is a repeat."""

    decision_id: str
    decision: bytes
    vector: FeatureVector


class _Open:
    """A payment in work, and who waits for its answer: whoever posted it, and whoever did again meanwhile."""

    __slots__ = ("payment", "spans", "taken", "waiting")

    def __init__(self, taken: Taken) -> None:
        self.taken = taken
        self.spans = acting().spans
        self.payment = codec.decode(Transaction, taken.outgoing.value)
        self.waiting: list[asyncio.Future[Answer]] = []


class DirectScoring:
    """Answers payments; for one event loop."""

    def __init__(  # noqa: PLR0913 - each is a separate part
        self,
        reader: StateReader,
        store: AsyncStore,
        scorer: Scorer,
        journal: Journal,
        unclaimed: Unclaimed,
        clock: Clock,
        *,
        limits: Limits,
        is_synced: bool,
        not_ready: Callable[[], str | None],
    ) -> None:
        """Wire it.

        is_synced: nobody is answered before the disk has the answer. not_ready: tells what decides is not known yet.
        """
        self._reader = reader
        self._store = store
        self._scorer = scorer
        self._journal = journal
        self._unclaimed = unclaimed
        self._clock = clock
        self._limits = limits
        self._not_ready = not_ready
        self._sync = _GroupSync(journal) if is_synced else None
        self._open: dict[str, _Open] = {}
        self._gathered: list[_Open] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def decided(self, taken: Taken) -> Answer:
        """Return the decision on a payment; the same payment again gets the same bytes.

        Without the store the configured fallback answers, marked degraded.

        Raises:
            NotTakenError: too many payments are in work, or wait for the log.
            UnacknowledgedError: the disk did not take the answer.
        """
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        payment = self._open.get(taken.event_id)
        if payment is None:
            self._check_room()
            payment = self._open[taken.event_id] = _Open(taken)
            self._gathered.append(payment)
            if len(self._gathered) == 1:
                loop.call_soon(self._begin)
        payment.waiting.append(answer)
        return await answer

    def _check_room(self) -> None:
        problem = self._not_ready() or (None if self._journal.is_open else "the journal is not open yet")
        if problem is not None:
            raise NotTakenError("starting", problem)
        if len(self._open) >= self._limits.open_payments:
            raise NotTakenError("overloaded", f"{len(self._open)} payments are in work already")
        if self._journal.waiting_bytes >= self._limits.journal_bytes:
            raise NotTakenError("journal_full", f"{self._journal.waiting_entries} payments wait for the log already")

    def _begin(self) -> None:
        gathered, self._gathered = self._gathered, []
        for at in range(0, len(gathered), AT_ONCE_MAX):
            task = asyncio.create_task(self._settle(gathered[at : at + AT_ONCE_MAX]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _settle(self, batch: Sequence[_Open]) -> None:
        """Answer everybody who waits for the payments of `batch`."""
        work_on(tuple(dict.fromkeys(span for each in batch for span in each.spans)))
        try:
            answers = await self._answers(batch)
        except Exception as error:  # noqa: BLE001 - carried to each request, which fails with it
            for payment in batch:
                for waiting in payment.waiting:
                    if not waiting.done():
                        waiting.set_exception(error)
        else:
            for payment, answer in zip(batch, answers, strict=True):
                for waiting in payment.waiting:
                    if not waiting.done():
                        waiting.set_result(answer)
        finally:
            for payment in batch:
                del self._open[payment.taken.event_id]

    async def _answers(self, batch: Sequence[_Open]) -> list[Answer]:
        started = self._clock.monotonic_seconds()
        limit = self._limits.state_seconds
        ids = [decision_id_of(each.payment) for each in batch]
        # Before the store is read: what is claimed meanwhile is there then, and here no longer.
        unclaimed = list(map(self._unclaimed.get, ids))
        known = await self._reader.known([each.payment for each in batch], seconds_max=limit)
        before = [claimed or here for claimed, here in zip(known.answers, unclaimed, strict=True)]
        decisions = self._decisions(known, before)
        open_claims = {ids[at]: decisions[at] for at, claimed in enumerate(known.answers) if claimed is None}
        is_settled = known.is_applied
        if is_settled and open_claims:
            left_seconds = limit - (self._clock.monotonic_seconds() - started)
            first = await self._claimed(open_claims, seconds_max=left_seconds)
            is_settled = first is not None
            decisions = [(first or {}).get(name, own) for name, own in zip(ids, decisions, strict=True)]
        await self._write(batch, ids, decisions, is_settled=is_settled)
        return list(map(Answer, ids, decisions, known.vectors))

    def _decisions(self, known: Known, before: Sequence[bytes | None]) -> list[bytes]:
        """Return what was answered before, else what is decided now."""
        places = [at for at, answer in enumerate(before) if answer is None]
        decided = self._scorer.decided(
            [known.vectors[at] for at in places], [known.listed[at] for at in places], path="rest"
        )
        new = dict(zip(places, map(codec.encode, decided), strict=True))
        return [answer or new[at] for at, answer in enumerate(before)]

    async def _claimed(self, decisions: dict[str, bytes], *, seconds_max: float) -> dict[str, bytes] | None:
        """Return by decision id the answer that was first in the store; None when it cannot be asked in time."""
        appends, reads = claims(decisions)
        try:
            values = await self._store.append_and_read(
                appends, reads, expire_after=ANSWERED_FOR, seconds_max=max(0.0, seconds_max)
            )
        except StoreUnavailableError:
            return None
        firsts = map(first_answer, values)
        return {name: first or own for (name, own), first in zip(decisions.items(), firsts, strict=True)}

    async def _write(
        self, batch: Sequence[_Open], ids: Sequence[str], decisions: Sequence[bytes], *, is_settled: bool
    ) -> None:
        answered_ms = milliseconds(self._clock.now())
        entries = [
            Entry(each.taken.outgoing.key, each.taken.outgoing.value, decision, is_settled, answered_ms)
            for each, decision in zip(batch, decisions, strict=True)
        ]
        unclaimed = {} if is_settled else dict(zip(ids, decisions, strict=True))
        # Before it is written: the drain takes it out again once it has claimed it.
        self._unclaimed.update(unclaimed)
        try:
            with step("journal"):
                self._journal.append(entries)
                if self._sync is not None:
                    await self._sync()
        except JournalClosedError as error:
            raise NotTakenError("stopping", str(error)) from error
        except OSError as error:
            metrics.JOURNAL_FAILURES.inc()
            for name in unclaimed:
                self._unclaimed.pop(name, None)
            raise UnacknowledgedError(f"the journal cannot be written: {error}") from error


class _GroupSync:
    """Waits until the disk has what was appended; everybody who waits at once shares one wait."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Return once everything appended so far is on the disk; raises OSError."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running))
        await asyncio.shield(self._next)

    async def _after(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        await asyncio.to_thread(self._journal.sync)
