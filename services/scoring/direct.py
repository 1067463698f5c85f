"""One payment scored at once, over REST, on the same features and by the same model as the stream.

The payment goes on the log first, so the log stays the truth. It is then applied to the state here, without waiting for
the features service, which finds it applied: whoever comes first, both read the same history before it, so the answer
here and the decision on `scores` come from the same vector, and the payment counts and is decided once.
"""

import asyncio
import logging
from datetime import timedelta

from services.scoring.handlers import ScoringHandler
from shared.contracts import codec
from shared.contracts.events import Decision, FeatureVector, Transaction
from shared.features.engine import Arrival, FeatureEngine
from shared.features.freshness import Source, served, unserved
from shared.features.progress import PROGRESS_KEY, Progress, needed_hours
from shared.features.state import REST_ORIGIN
from shared.intake.outbox import Outbox
from shared.intake.taking import Taken
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.logs import fields
from shared.store.base import Store, StoreUnavailableError

log = logging.getLogger(__name__)


class DirectScoring:
    """Answers one payment at a time; safe to call concurrently."""

    def __init__(
        self,
        engine: FeatureEngine,
        store: Store,
        scoring: ScoringHandler,
        outbox: Outbox,
        clock: Clock,
        *,
        age_max: timedelta,
    ) -> None:
        """Wire it; a decision from a state that is further than `age_max` behind the log is marked stale."""
        self._engine = engine
        self._store = store
        self._scoring = scoring
        self._outbox = outbox
        self._clock = clock
        self._age_max = age_max
        self._needed_hours = needed_hours(engine.feature_set)

    async def decide(self, taken: Taken) -> Decision:
        """Return the decision on a payment; raises IntakeError when the log does not take it.

        Without the store the configured fallback answers, marked degraded; the decision on `scores` follows once the
        features service reaches the store again.
        """
        started = self._clock.monotonic_seconds()
        await self._outbox.acknowledged([taken.outgoing])
        payment = codec.decode(Transaction, taken.outgoing.value)
        try:
            vector = await asyncio.to_thread(self._vector, payment)
        except StoreUnavailableError as error:
            log.warning("scored without features: %s", error, **fields(trace_id=payment.trace_id))
            vector = unserved(self._engine.feature_set, payment)
        (decision,) = self._scoring.decided([vector], path="rest")
        metrics.DECISION_SECONDS.labels("rest").observe(self._clock.monotonic_seconds() - started)
        return decision

    def _vector(self, payment: Transaction) -> FeatureVector:
        plan = self._engine.plan([Arrival(payment, REST_ORIGIN)])
        reads = [*plan.reads, PROGRESS_KEY]
        *states, value = self._store.append_and_read(plan.appends, reads, expire_after=self._engine.state_lifetime)
        vectors = self._engine.vectors(plan, states)
        return served(self._engine.feature_set, payment, vectors, 0, self._source(value), age_max=self._age_max)

    def _source(self, value: bytes) -> Source:
        progress = Progress.decode(value)
        is_complete = progress.is_complete(self._needed_hours)
        return Source(progress.age_seconds(self._clock.now()), progress.lag_records, is_complete)
