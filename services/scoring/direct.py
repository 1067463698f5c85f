"""One payment scored at once, over REST, on the same features and by the same model as the stream.

The payment goes on the log first, so the log stays the truth. It is then applied to the state here, without waiting for
the features service, which finds it applied: whoever comes first, both read the same history before it, so the answer
here and the decision on `scores` come from the same vector, and the payment counts and is decided once.
"""

import asyncio
import logging

from services.scoring.handlers import ScoringHandler
from shared.contracts import codec
from shared.contracts.events import Decision, FeatureVector, Transaction
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import FEATURES
from shared.features.engine import Arrival, FeatureEngine
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
        self, engine: FeatureEngine, store: Store, scoring: ScoringHandler, outbox: Outbox, clock: Clock
    ) -> None:
        self._engine = engine
        self._store = store
        self._scoring = scoring
        self._outbox = outbox
        self._clock = clock

    async def decide(self, taken: Taken) -> Decision:
        """Return the decision on a payment; raises IntakeError when the log does not take it.

        Without the store the configured fallback answers, marked degraded; the decision on `scores` follows once the
        features service reaches the store again.
        """
        started = self._clock.monotonic_seconds()
        await self._outbox.acknowledged([taken.outgoing])
        payment = codec.decode(Transaction, taken.outgoing.value)
        try:
            values = await asyncio.to_thread(self._values, payment)
        except StoreUnavailableError as error:
            log.warning("scored without features: %s", error, **fields(trace_id=payment.trace_id))
            values = []
        (decision,) = self._scoring.decided([self._vector(payment, values)], path="rest")
        metrics.DECISION_SECONDS.labels("rest").observe(self._clock.monotonic_seconds() - started)
        return decision

    def _values(self, payment: Transaction) -> list[float]:
        plan = self._engine.plan([Arrival(payment, REST_ORIGIN)])
        states = self._store.append_and_read(plan.appends, plan.reads, expire_after=self._engine.state_lifetime)
        values: list[float] = self._engine.vectors(plan, states).values[0].tolist()
        return values

    def _vector(self, payment: Transaction, values: list[float]) -> FeatureVector:
        feature_set = self._engine.feature_set
        return FeatureVector(
            event_id=derived_event_id(payment.occurred_at, FEATURES.name, payment.event_id),
            occurred_at=payment.occurred_at,
            trace_id=payment.trace_id,
            transaction=payment,
            feature_set=feature_set.name,
            feature_version=feature_set.version,
            values=values,
        )
