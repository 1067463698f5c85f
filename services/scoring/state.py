"""What the store knows about payments that come in over REST, in one round trip for all of one moment."""

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple

from services.scoring.answers import answer_key, first_answer
from services.scoring.deciding import decision_id_of
from services.scoring.policy.lists import Lists
from shared.contracts.events import FeatureVector, Transaction
from shared.features.engine import Arrival, FeatureEngine, Plan
from shared.features.freshness import Source, served, unserved
from shared.features.progress import PROGRESS_KEY, Progress, needed_hours
from shared.features.state import REST_ORIGIN
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.store.base import AsyncStore, StoreTimeoutError, StoreUnavailableError

log = logging.getLogger(__name__)

_SLOW = metrics.STATE_MISSES.labels("slow")
_AWAY = metrics.STATE_MISSES.labels("away")
_UNREADABLE = metrics.STATE_MISSES.labels("unreadable")


class Known(NamedTuple):
    """About each of some payments, in their order.

    answers: what was answered before, or None. listed: the entries of lists that match.
    is_applied: whether all of them are in the states for certain; False when the store could not be asked.
    """

    vectors: list[FeatureVector]
    answers: list[bytes | None]
    listed: list[list[str]]
    is_applied: bool


class StateReader:
    """Applies payments to the states and reads what is known about them; for one event loop."""

    def __init__(
        self,
        engine: FeatureEngine,
        store: AsyncStore,
        lists: Callable[[], Lists],
        clock: Clock,
        *,
        age_max: timedelta,
    ) -> None:
        """Wire it; a vector from a state that is further than `age_max` behind the log is stale."""
        self._engine = engine
        self._store = store
        self._lists = lists
        self._clock = clock
        self._age_max = age_max
        self._needed_hours = needed_hours(engine.feature_set)
        self._progress = (b"", Progress.decode(b""))

    async def known(self, payments: Sequence[Transaction], *, seconds_max: float) -> Known:
        """Apply `payments`, in order of arrival, and return what is known; without the store there are no features."""
        plan = self._engine.plan([Arrival(payment, REST_ORIGIN) for payment in payments])
        lists = self._lists()
        asked = [lists.keys(payment) for payment in payments]
        keys = [answer_key(decision_id_of(payment)) for payment in payments]
        reads = [*plan.reads, PROGRESS_KEY, *keys, *(key for entries in asked for key in entries)]
        lifetime = self._engine.state_lifetime
        try:
            values = await self._store.append_and_read(
                plan.appends, reads, expire_after=lifetime, seconds_max=seconds_max
            )
        except StoreUnavailableError as error:
            (_SLOW if isinstance(error, StoreTimeoutError) else _AWAY).inc(len(payments))
            vectors = [unserved(self._engine.feature_set, payment) for payment in payments]
            return Known(vectors, [None] * len(payments), [[] for _ in payments], is_applied=False)
        answers_at = len(plan.reads) + 1
        at = answers_at + len(keys)
        listed = []
        for payment, entries in zip(payments, asked, strict=True):
            listed.append(lists.matched(payment, values[at : at + len(entries)]))
            at += len(entries)
        source = self._source(values[answers_at - 1])
        answers = [first_answer(value) for value in values[answers_at : answers_at + len(keys)]]
        return Known(self._vectors(plan, values[: answers_at - 1], source), answers, listed, is_applied=True)

    def _vectors(self, plan: Plan, states: Sequence[bytes], source: Source) -> list[FeatureVector]:
        feature_set = self._engine.feature_set
        try:
            vectors = self._engine.vectors(plan, states)
        except ValueError as error:
            if len(plan.arrivals) > 1:
                # One state that cannot be read is no reason to answer the others without features.
                by_key = dict(zip(plan.reads, states, strict=True))
                alone = [self._engine.plan([arrival]) for arrival in plan.arrivals]
                return [self._vectors(each, [by_key[key] for key in each.reads], source)[0] for each in alone]
            _UNREADABLE.inc()
            log.error("a state cannot be read, rebuild it: %s: %s", plan.reads, error)  # noqa: TRY400 - as expected
            return [unserved(feature_set, plan.arrivals[0].payment)]
        return [
            served(feature_set, payment, vectors, at, source, age_max=self._age_max)
            for at, (payment, _) in enumerate(plan.arrivals)
        ]

    def _source(self, value: bytes) -> Source:
        before, progress = self._progress
        if value != before:
            progress = Progress.decode(value)
            self._progress = (value, progress)
        is_complete = progress.is_complete(self._needed_hours)
        return Source(progress.age_seconds(self._clock.now()), progress.lag_records, is_complete)
