"""The slow, obvious definition of every feature: a few lines over a plain list of what had arrived."""

import math
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import get_args

from shared.contracts.events import Channel, Label, Transaction
from shared.features.definitions import (
    OUTLIER_ROBUST_Z,
    PAST_ONLY,
    Aggregation,
    AmountBelow,
    Category,
    Entity,
    Equals,
    FeatureSet,
    Field,
    Filter,
    Row,
    RowFunction,
    Same,
    Window,
)

Arrived = Sequence[Transaction | Label]


def vector(feature_set: FeatureSet, payment: Transaction, arrived: Arrived) -> list[float]:
    """Return the features of `payment`, the last of `arrived`, from what arrived up to it."""
    return [float(_value(feature, payment, arrived)) for feature in feature_set.features]


def _value(feature: Window | Row | Category, payment: Transaction, arrived: Arrived) -> float:
    if isinstance(feature, Row):
        return _row(feature.function, payment)
    if isinstance(feature, Category):
        return _code(feature.field, getattr(payment, feature.field.value))
    frauds = [p for p in _inside(feature, payment, arrived) if _is_known_fraud(p, payment.occurred_at, arrived)]
    return _aggregated(feature, payment, arrived, frauds)


def _aggregated(  # noqa: C901, PLR0911, PLR0912 - one line an aggregation
    window: Window, payment: Transaction, arrived: Arrived, frauds: list[Transaction]
) -> float:
    inside = _inside(window, payment, arrived)
    amounts = [p.amount for p in inside]
    match window.aggregation:
        case Aggregation.COUNT:
            return len(inside)
        case Aggregation.SUM:
            return sum(amounts)
        case Aggregation.MEAN:
            return statistics.mean(amounts) if amounts else 0
        case Aggregation.DEVIATION:
            return statistics.pstdev(amounts) if amounts else 0
        case Aggregation.MIN:
            return min(amounts, default=0)
        case Aggregation.MAX:
            return max(amounts, default=0)
        case Aggregation.DISTINCT:
            assert window.of is not None
            return len({_of(p, window.of) for p in inside} - {None})
        case Aggregation.SHARE:
            everything = _inside(window, payment, arrived, filtered=False)
            return len(inside) / len(everything) if everything else 0
        case Aggregation.FRAUD_COUNT:
            return len(frauds)
        case Aggregation.FRAUD_RATE:
            return len(frauds) / len(inside) if inside else 0
        case Aggregation.OUTLIERS:
            reference = _inside(window, payment, arrived, length=window.reference, filtered=False)
            median, spread = _center_and_spread([p.amount for p in reference])
            return sum(abs(amount - median) > OUTLIER_ROBUST_Z * spread for amount in amounts)
        case Aggregation.SINCE_LAST:
            return _seconds_since([p.occurred_at for p in inside], window, payment)
        case Aggregation.SINCE_FRAUD:
            return _seconds_since([p.occurred_at for p in frauds], window, payment)
        case Aggregation.FRAUD_STREAK:
            return _streak(inside, frauds)
        case Aggregation.SINCE_FIRST:
            first = min((p.occurred_at for p in inside), default=payment.occurred_at)
            return (payment.occurred_at - first).total_seconds()
        case Aggregation.RATIO:
            return payment.amount * len(amounts) / sum(amounts) if sum(amounts) else 0
        case Aggregation.Z_SCORE:
            deviation = statistics.pstdev(amounts) if amounts else 0
            return (payment.amount - statistics.mean(amounts)) / max(deviation, 1) if amounts else 0
        case Aggregation.ROBUST_Z:
            median, spread = _center_and_spread(amounts)
            return (payment.amount - median) / spread if amounts else 0


def _streak(inside: list[Transaction], frauds: list[Transaction]) -> float:
    """Return how many frauds came after the last genuine payment."""
    genuine = [p.occurred_at for p in inside if p not in frauds]
    return sum(p.occurred_at > max(genuine, default=datetime.min.replace(tzinfo=UTC)) for p in frauds)


def _inside(
    window: Window, payment: Transaction, arrived: Arrived, *, length: timedelta | None = None, filtered: bool = True
) -> list[Transaction]:
    """Return the payments in the window, each once."""
    end = payment.occurred_at - window.delay
    begin = end - (length or window.length)
    payments = {event.event_id: event for event in reversed(arrived) if isinstance(event, Transaction)}
    return [
        other
        for other in payments.values()
        if begin < other.occurred_at <= end
        and all(_agree(other, payment, entity) for entity in window.entities)
        and not (window.aggregation in PAST_ONLY and other.event_id == payment.event_id)
        and not (filtered and window.where and not _passes(window.where, other, payment))
    ]


def _passes(where: Filter, other: Transaction, payment: Transaction) -> bool:
    match where:
        case Equals(field, value):
            return _of(other, field) == value
        case Same(what):
            return _agree(other, payment, what)
        case AmountBelow(minor_units):
            return other.amount < minor_units


def _agree(other: Transaction, payment: Transaction, what: Field | Entity) -> bool:
    return _of(other, what) is not None and _of(other, what) == _of(payment, what)


def _of(payment: Transaction, what: Field | Entity) -> str | None:
    name = f"{what.value}_id" if isinstance(what, Entity) else what.value
    value: str | None = getattr(payment, name)
    return value


def _is_known_fraud(payment: Transaction, time: datetime, arrived: Arrived) -> bool:
    known = [
        (event.occurred_at, event.label == "fraud")
        for event in arrived
        if isinstance(event, Label) and event.transaction_id == payment.transaction_id and event.occurred_at <= time
    ]
    return bool(known) and max(known)[1]


def _seconds_since(times: list[datetime], window: Window, payment: Transaction) -> float:
    longest = window.delay + window.length
    return min((payment.occurred_at - time for time in times), default=longest).total_seconds()


def _center_and_spread(amounts: Sequence[float]) -> tuple[float, float]:
    """Median, and median absolute deviation as a standard deviation of at least a minor unit."""
    if not amounts:
        return 0, 1
    median = statistics.median(amounts)
    return median, max(1.4826 * statistics.median(abs(amount - median) for amount in amounts), 1)


def _row(function: RowFunction, payment: Transaction) -> float:
    time = payment.occurred_at.astimezone(UTC)
    midnight = time.replace(hour=0, minute=0, second=0, microsecond=0)
    of_day = 2 * math.pi * ((time - midnight) / timedelta(days=1))
    of_week = 2 * math.pi * time.weekday() / 7
    return {
        RowFunction.AMOUNT: payment.amount,
        RowFunction.WEEKEND: time.weekday() in {5, 6},
        RowFunction.NIGHT: time.hour <= 6,
        RowFunction.HOUR_SINE: math.sin(of_day),
        RowFunction.HOUR_COSINE: math.cos(of_day),
        RowFunction.WEEKDAY_SINE: math.sin(of_week),
        RowFunction.WEEKDAY_COSINE: math.cos(of_week),
    }[function]


def _code(field: Field, value: str) -> int:
    match field:
        case Field.MCC:
            return int(value)
        case Field.CHANNEL:
            return get_args(Channel).index(value)
        case Field.COUNTRY | Field.CURRENCY:
            return sum((ord(letter) - ord("A")) * 26**place for place, letter in enumerate(reversed(value)))
