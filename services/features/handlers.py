"""A batch of payments and labels to feature vectors."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from shared.bus.base import Outgoing
from shared.contracts import codec
from shared.contracts.events import Label, Transaction
from shared.contracts.topics import FEATURES, TRANSACTIONS
from shared.features.definitions import Entity
from shared.features.engine import Arrival, FeatureEngine, Plan, Vectors
from shared.features.freshness import Source, served
from shared.features.progress import PROGRESS_KEY, Progress, needed_hours
from shared.features.state import Append, label_append, log_origin, others_to_tell, payment_records
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.loop import Delivery
from shared.store.base import Store


def log_order(delivery: Delivery) -> tuple[int, datetime, bool, int, int]:
    """Return what orders arrivals: when the log took them in, then event time, labels first, then their place."""
    record, event = delivery
    return record.produced_ms, event.occurred_at, isinstance(event, Transaction), record.partition, record.offset


class Applied(NamedTuple):
    """A batch's payments in order of arrival, a row of `vectors` each, and whether the state was whole."""

    payments: Sequence[Delivery]
    arrivals: Sequence[Arrival]
    vectors: Vectors
    is_complete: bool


class FeaturesHandler:
    """Applies a batch to the state and computes the vectors; applying it twice changes nothing."""

    def __init__(
        self,
        engine: FeatureEngine,
        store: Store,
        clock: Clock,
        *,
        age_max: timedelta,
        lag_records: Callable[[], int | None],
    ) -> None:
        """Wire the handler.

        age_max: a vector whose payment waited longer on the log is marked stale.
        lag_records: how many records wait now.
        """
        self._engine = engine
        self._store = store
        self._clock = clock
        self._age_max = age_max
        self._lag_records = lag_records
        self._needed_hours = needed_hours(engine.feature_set)

    def __call__(self, deliveries: Sequence[Delivery]) -> list[Outgoing]:
        applied = self.apply(deliveries)
        _count(applied.vectors)
        return self._outgoing(applied)

    def apply(self, deliveries: Sequence[Delivery]) -> Applied:
        """Apply a batch to the state, and compute its vectors; raises StoreUnavailableError."""
        ordered = sorted(deliveries, key=log_order)
        payments = [delivery for delivery in ordered if isinstance(delivery.event, Transaction)]
        plan = self._engine.plan([_arrival(delivery) for delivery in payments], before=self._labels(ordered))
        *states, progress = self._round_trip(plan.appends, [*plan.reads, PROGRESS_KEY])
        vectors = self._engine.vectors(plan, states)
        if self._tell_early_labels(plan, states, vectors):
            states = self._round_trip([], plan.reads)
            vectors = self._engine.vectors(plan, states)
        self._rewrite(plan, states)
        return Applied(payments, plan.arrivals, vectors, Progress.decode(progress).is_complete(self._needed_hours))

    def _labels(self, ordered: Sequence[Delivery]) -> dict[int, list[Append]]:
        """Return the appends that tell the batch's labels, by how many of its payments come before them."""
        appends: dict[int, list[Append]] = defaultdict(list)
        states = self._cards_of_labels(ordered)
        if not states:
            return appends
        payments = 0
        for delivery in ordered:
            event = delivery.event
            if isinstance(event, Label):
                key, record = label_append(event, origin=_origin(delivery))
                states[key] += record
                told = others_to_tell(states[key], [event.transaction_id], self._engine.entities)
                if not told:
                    metrics.UNMATCHED_LABELS.labels("features").inc()
                appends[payments] += [(key, record), *told]
            elif isinstance(event, Transaction):
                payments += 1
                self._keep(states, delivery)
        return appends

    def _cards_of_labels(self, ordered: Sequence[Delivery]) -> dict[str, bytes]:
        """Return the states of the cards that labels speak of: they tell whose merchants, devices and users to tell."""
        labels = [event for _, event in ordered if isinstance(event, Label)]
        keys = list(dict.fromkeys(label_append(label, origin=0)[0] for label in labels))
        return dict(zip(keys, self._round_trip([], keys), strict=True)) if keys else {}

    def _keep(self, states: dict[str, bytes], delivery: Delivery) -> None:
        """Add a payment to its card's state, should a label of the same batch speak of it."""
        payment, origin = _arrival(delivery)
        (append,) = payment_records(payment, origin=origin, entities=(Entity.CARD,)).appends
        if append and append[0] in states:
            states[append[0]] += append[1]

    def _outgoing(self, applied: Applied) -> list[Outgoing]:
        payments, arrivals, vectors, is_complete = applied
        now_ms, lag = self._clock.now().timestamp() * 1000, self._lag_records()
        outgoing = []
        for at in np.flatnonzero(vectors.is_fresh).tolist():
            record, payment = payments[at].record, arrivals[at].payment
            source = Source(max(0.0, now_ms - record.produced_ms) / 1000, lag, is_complete)
            event = served(self._engine.feature_set, payment, vectors, at, source, age_max=self._age_max)
            key = payment.card_id.encode()
            outgoing.append(Outgoing(FEATURES.name, key, codec.encode(event), record.produced_ms))
        return outgoing

    def _tell_early_labels(self, plan: Plan, states: Sequence[bytes], vectors: Vectors) -> bool:
        """Pass on labels that came before their payment, if any: until now nobody knew whom else they concern."""
        if not vectors.is_labelled.any():
            return False
        appends: list[Append] = []
        for arrival, segments, is_labelled in zip(plan.arrivals, plan.segments, vectors.is_labelled, strict=True):
            if is_labelled:
                card = states[segments[0]]
                appends += others_to_tell(card, [arrival.payment.transaction_id], self._engine.entities)
        if appends:
            self._round_trip(appends, [])
        return bool(appends)

    def _rewrite(self, plan: Plan, states: Sequence[bytes]) -> None:
        for key, state in zip(plan.reads, states, strict=True):
            smaller = self._engine.rewritten(key, state, asked_us=plan.oldest_us)
            if smaller is not None and self._store.replace_prefix(key, prefix=state, replacement=smaller):
                metrics.COMPACTIONS.inc()

    def _round_trip(self, appends: Sequence[Append], reads: Sequence[str]) -> list[bytes]:
        return self._store.append_and_read(appends, reads, expire_after=self._engine.state_lifetime)


def _arrival(delivery: Delivery) -> Arrival:
    if not isinstance(delivery.event, Transaction):
        raise TypeError(f"a payment is needed, this is a {type(delivery.event).__name__}")
    return Arrival(delivery.event, _origin(delivery))


def _origin(delivery: Delivery) -> int:
    return log_origin(delivery.record.partition, delivery.record.offset)


def _count(vectors: Vectors) -> None:
    fresh = vectors.is_fresh
    metrics.DUPLICATES.labels(TRANSACTIONS.name).inc(int((~fresh).sum()))
    metrics.UNCOUNTED_EVENTS.labels(TRANSACTIONS.name).inc(int((fresh & vectors.is_uncounted).sum()))
    metrics.OUTDATED_VECTORS.inc(int(vectors.outdated[fresh].sum()))
    for late_us in vectors.late_us[fresh & (vectors.late_us > 0)].tolist():
        metrics.LATE_SECONDS.labels(TRANSACTIONS.name).observe(late_us / 1_000_000)
