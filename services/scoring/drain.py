"""From the journal to the store and the log: nobody waits for it, and nothing is let go before the log has it."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import wait

import msgspec
from msgspec import Struct

from services.scoring.answers import ANSWERED_FOR, Unclaimed, claims, first_answer
from services.scoring.journal import Entry, Journal, JournalBusyError
from shared.bus.base import Bus, BusUnavailableError, Outgoing, Publisher
from shared.contracts import codec
from shared.contracts.events import Transaction
from shared.contracts.topics import TRANSACTIONS
from shared.features.engine import Arrival, FeatureEngine
from shared.features.progress import milliseconds
from shared.features.state import REST_ORIGIN
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.logs import fields
from shared.store.base import Store, StoreUnavailableError

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0
_LINGER_SECONDS = 0.25  # nobody waits for it, and every batch is a transaction for each of the services behind
"""Between two looks into the journal: a record sent alone costs several times one of many."""
_BATCH_ENTRIES = 500
_ACKNOWLEDGED_SECONDS_MAX = 10.0


class _Named(Struct):
    """A decision, as far as its id."""

    event_id: str


_named = msgspec.json.Decoder(_Named)


class Drain:
    """A worker that empties this instance's journal, and those of instances that are gone.

    Every payment of a batch is first settled: it stands in the states, and its answer is claimed. Then it is published.
    What is interrupted is done again: a payment that is applied or published twice counts once.
    """

    name = "drain"

    def __init__(
        self, journal: Journal, bus: Bus, store: Store, engine: FeatureEngine, unclaimed: Unclaimed, clock: Clock
    ) -> None:
        self._journal = journal
        self._bus = bus
        self._store = store
        self._engine = engine
        self._unclaimed = unclaimed
        self._clock = clock
        self._stop = threading.Event()
        self._publisher: Publisher | None = None
        self._journals: list[Journal] = []
        self._is_settled = False
        self._problem: str | None = "the journal is not open yet"
        self._oldest_ms: int | None = None
        metrics.JOURNAL_WAITING_ENTRIES.set_function(self._waiting_entries)
        metrics.JOURNAL_OLDEST_SECONDS.set_function(self._oldest_seconds)

    def problem(self) -> str | None:
        return self._problem

    def not_settled(self) -> str | None:
        """Tell why the stream must not decide yet: what was answered before the start is not claimed."""
        return None if self._is_settled else self._problem or "answers of before are not claimed yet"

    def run(self, stop: threading.Event) -> None:
        self._stop = stop
        self._open()
        while not stop.is_set() and not self._is_settled:
            self._is_settled = self._tried(self._settle_all)
        while not stop.wait(_LINGER_SECONDS):
            self._tried(self._empty_all)
        # Once more, for what was answered last; what the log does not take now waits for the next start.
        if self._problem is None:
            self._tried(self._empty_all)
        if self._publisher is not None:
            self._publisher.close()
        for journal in self._journals:
            journal.close()

    def _open(self) -> None:
        """Open this instance's journal, however often that must be tried, and those of instances that are gone."""
        while not self._stop.is_set():
            try:
                self._journal.open()
            except (JournalBusyError, OSError) as error:
                self._say(
                    f"the journal cannot be opened, and each instance needs a HEADRACE_INSTANCE of its own: {error}"
                )
                self._stop.wait(_RETRY_SECONDS)
            else:
                self._journals = [self._journal, *_orphans(self._journal)]
                self._say(None)
                return

    def _settle_all(self) -> None:
        for journal in self._journals:
            for batch in journal.batches(entries_max=_BATCH_ENTRIES):
                self._settle(batch.entries)

    def _empty_all(self) -> None:
        for journal in list(self._journals):
            for batch in journal.batches(entries_max=_BATCH_ENTRIES):
                self._oldest_ms = batch.entries[0].answered_ms
                self._settle(batch.entries)
                self._publish(batch.entries)
                journal.let_go(batch)
            if journal is not self._journal:
                log.info("the journal of an instance that is gone is empty: %s", journal.folder)
                journal.close()
                self._journals.remove(journal)
        self._oldest_ms = None

    def _tried(self, work: Callable[[], None]) -> bool:
        """Do `work`; tell whether that was possible, and pause where it was not."""
        try:
            work()
        except (BusUnavailableError, StoreUnavailableError) as error:
            self._say(f"{self._waiting_entries()} payments answered wait in the journal: {error}")
        except OSError as error:
            metrics.JOURNAL_FAILURES.inc()
            self._say(f"the journal cannot be read, or its mark moved on: {error}")
        else:
            self._say(None)
            return True
        self._stop.wait(_RETRY_SECONDS)
        return False

    def _settle(self, entries: Sequence[Entry]) -> None:
        """See to it that payments stand in the states and their answers are claimed; raises StoreUnavailableError."""
        unsettled = [entry for entry in entries if not entry.is_settled]
        if not unsettled:
            return
        arrivals = [Arrival(codec.decode(Transaction, entry.payment), REST_ORIGIN) for entry in unsettled]
        plan = self._engine.plan(arrivals)
        self._store.append_and_read(plan.appends, [], expire_after=self._engine.state_lifetime)
        decisions = {_named.decode(entry.decision).event_id: entry.decision for entry in unsettled}
        appends, reads = claims(decisions)
        values = self._store.append_and_read(appends, reads, expire_after=ANSWERED_FOR)
        for (decision_id, decision), value in zip(decisions.items(), values, strict=True):
            if first_answer(value) != decision:
                metrics.SUPERSEDED_ANSWERS.inc()
                log.warning(
                    "another answer to the same payment came first, and is the decision",
                    **fields(decision_id=decision_id, answered=decision.decode()),
                )
            self._unclaimed.pop(decision_id, None)

    def _publish(self, entries: Sequence[Entry]) -> None:
        """Return once the log has the payments; raises BusUnavailableError."""
        if self._publisher is None:
            self._publisher = self._bus.publisher()
        sent = []
        for entry in entries:
            sent.append(self._publisher.send(Outgoing(TRANSACTIONS.name, entry.key, entry.payment)))
            time.sleep(0)  # lets requests go first: sending is Python, and holds the interpreter
        wait(sent, _ACKNOWLEDGED_SECONDS_MAX)
        for future in sent:
            if not future.done():
                raise BusUnavailableError(f"the log did not acknowledge within {_ACKNOWLEDGED_SECONDS_MAX:.0f} s")
            future.result()

    def _waiting_entries(self) -> int:
        return sum(journal.waiting_entries for journal in self._journals)

    def _oldest_seconds(self) -> float:
        oldest_ms = self._oldest_ms
        return 0.0 if oldest_ms is None else max(0.0, (milliseconds(self._clock.now()) - oldest_ms) / 1000)

    def _say(self, problem: str | None) -> None:
        was, self._problem = self._problem, problem
        if problem is not None and was is None:
            log.warning(problem)


def _orphans(own: Journal) -> list[Journal]:
    """Return the journals beside `own` that no process has, opened."""
    found = []
    for folder in sorted(own.folder.parent.iterdir()):
        journal = Journal(folder)
        try:
            if folder != own.folder and folder.is_dir():
                journal.open()
                found.append(journal)
        except (JournalBusyError, OSError) as error:
            log.info("left to its owner: %s", error)
    return found
