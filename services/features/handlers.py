"""A batch of payments and labels to feature vectors."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from shared.bus.base import Outgoing
from shared.contracts import codec
from shared.contracts.events import Label, Transaction
from shared.contracts.topics import FEATURES, TRANSACTIONS
from shared.features import applying
from shared.features.applying import Applier, Arrived
from shared.features.engine import FeatureEngine, Vectors
from shared.features.freshness import Source, served
from shared.features.state import log_origin
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.loop import Delivery
from shared.store.base import Store


def log_order(delivery: Delivery) -> tuple[int, datetime, bool, int, int]:
    """Return what orders arrivals: when the log took them in, then event time, labels first, then their place."""
    record, event = delivery
    return record.produced_ms, event.occurred_at, isinstance(event, Transaction), record.partition, record.offset


class Applied(NamedTuple):
    """A batch's payments in order of arrival, and what applying them gave, a row of its vectors each."""

    payments: Sequence[Delivery]
    applied: applying.Applied

    @property
    def vectors(self) -> Vectors:
        return self.applied.vectors


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
        self._feature_set = engine.feature_set
        self._applier = Applier(engine, store)
        self._clock = clock
        self._age_max = age_max
        self._lag_records = lag_records

    def __call__(self, deliveries: Sequence[Delivery]) -> list[Outgoing]:
        applied = self.apply(deliveries)
        _count(applied.vectors)
        return self._outgoing(applied)

    def apply(self, deliveries: Sequence[Delivery]) -> Applied:
        """Apply a batch to the state, and compute its vectors; raises StoreUnavailableError."""
        ordered = sorted(deliveries, key=log_order)
        applied = self._applier.apply([arrived(delivery) for delivery in ordered])
        metrics.UNMATCHED_LABELS.labels("features").inc(applied.unmatched_labels)
        metrics.COMPACTIONS.inc(applied.rewritten)
        return Applied([delivery for delivery in ordered if isinstance(delivery.event, Transaction)], applied)

    def _outgoing(self, batch: Applied) -> list[Outgoing]:
        payments, (arrivals, vectors, is_complete, *_) = batch
        now_ms, lag = self._clock.now().timestamp() * 1000, self._lag_records()
        outgoing = []
        for at in np.flatnonzero(vectors.is_fresh).tolist():
            record, payment = payments[at].record, arrivals[at].payment
            source = Source(max(0.0, now_ms - record.produced_ms) / 1000, lag, is_complete)
            event = served(self._feature_set, payment, vectors, at, source, age_max=self._age_max)
            key = payment.card_id.encode()
            outgoing.append(Outgoing(FEATURES.name, key, codec.encode(event), record.produced_ms, record.headers))
        return outgoing


def arrived(delivery: Delivery) -> Arrived:
    """Return a payment or a label as it arrived on the log."""
    if not isinstance(delivery.event, Transaction | Label):
        raise TypeError(f"a payment or a label is needed, this is a {type(delivery.event).__name__}")
    return Arrived(delivery.event, log_origin(delivery.record.partition, delivery.record.offset))


def _count(vectors: Vectors) -> None:
    fresh = vectors.is_fresh
    metrics.DUPLICATES.labels(TRANSACTIONS.name).inc(int((~fresh).sum()))
    metrics.UNCOUNTED_EVENTS.labels(TRANSACTIONS.name).inc(int((fresh & vectors.is_uncounted).sum()))
    metrics.OUTDATED_VECTORS.inc(int(vectors.outdated[fresh].sum()))
    for late_us in vectors.late_us[fresh & (vectors.late_us > 0)].tolist():
        metrics.LATE_SECONDS.labels(TRANSACTIONS.name).observe(late_us / 1_000_000)
