"""How far the state behind a vector was behind the log, and what to say about it."""

from datetime import timedelta
from typing import NamedTuple

from shared.contracts.events import Degradation, FeatureVector, Freshness, Transaction
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import FEATURES
from shared.features.definitions import FeatureSet
from shared.features.engine import Vectors

_MICROSECONDS = 1_000_000


class Source(NamedTuple):
    """What is known about the state when it is read.

    age_seconds: whatever the log took in longer ago is in it; None when the state cannot be asked.
    lag_records: how many records of the log wait to be applied; None when it is not known.
    is_complete: False when the state was lost and has not been rebuilt.
    """

    age_seconds: float | None
    lag_records: int | None
    is_complete: bool

    def degradations(self, age_max: timedelta) -> list[Degradation]:
        """Return what is wrong with vectors from this state, when it may be `age_max` behind."""
        found: list[Degradation] = []
        if self.age_seconds is not None and self.age_seconds > age_max.total_seconds():
            found.append("stale")
        if not self.is_complete:
            found.append("incomplete")
        return found


def served(
    feature_set: FeatureSet, payment: Transaction, vectors: Vectors, at: int, source: Source, *, age_max: timedelta
) -> FeatureVector:
    """Return row `at` of `vectors`, which belongs to `payment`, as an event."""
    return _event(
        feature_set,
        payment,
        values=vectors.values[at].tolist(),
        freshness=Freshness(
            state_age_seconds=source.age_seconds,
            source_lag_records=source.lag_records,
            late_seconds=int(vectors.late_us[at]) / _MICROSECONDS,
            outdated_vectors=int(vectors.outdated[at]),
        ),
        degraded=source.degradations(age_max),
    )


def unserved(feature_set: FeatureSet, payment: Transaction) -> FeatureVector:
    """Return the vector of a payment whose state cannot be read: it has no values."""
    return _event(
        feature_set,
        payment,
        values=[],
        freshness=Freshness(state_age_seconds=None, source_lag_records=None),
        degraded=["features"],
    )


def _event(
    feature_set: FeatureSet,
    payment: Transaction,
    *,
    values: list[float],
    freshness: Freshness,
    degraded: list[Degradation],
) -> FeatureVector:
    return FeatureVector(
        event_id=derived_event_id(payment.occurred_at, FEATURES.name, payment.event_id),
        occurred_at=payment.occurred_at,
        trace_id=payment.trace_id,
        transaction=payment,
        feature_set=feature_set.name,
        feature_version=feature_set.version,
        values=values,
        freshness=freshness,
        degraded=degraded,
    )
