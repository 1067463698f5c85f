"""The slow, obvious definition of every fraud feature: a few lines over a list of what had arrived."""

from collections.abc import Sequence
from datetime import datetime

from shared.contracts.events import Label, Transaction
from shared.features.definitions import Aggregation, Entity, FeatureSet, RowFeature, RowFunction, WindowFeature


def vector(feature_set: FeatureSet, payment: Transaction, arrived: Sequence[Transaction | Label]) -> list[float]:
    """Return the features of `payment`, the last of `arrived`, from what arrived up to it."""
    return [_value(feature, payment, arrived) for feature in feature_set.features]


def _value(feature: RowFeature | WindowFeature, payment: Transaction, arrived: Sequence[Transaction | Label]) -> float:
    time = payment.occurred_at
    if isinstance(feature, RowFeature):
        return {
            RowFunction.AMOUNT: float(payment.amount),
            RowFunction.WEEKEND: float(time.weekday() in (5, 6)),
            RowFunction.NIGHT: float(time.hour <= 6),
        }[feature.function]
    end = time - feature.delay
    unique = {event.event_id: event for event in reversed(arrived)}
    inside = [
        event
        for event in unique.values()
        if isinstance(event, Transaction)
        and _entity(feature.entity, event) == _entity(feature.entity, payment)
        and end - feature.window < event.occurred_at <= end
    ]
    if feature.aggregation is Aggregation.COUNT or not inside:
        return float(len(inside))
    if feature.aggregation is Aggregation.MEAN_AMOUNT:
        return sum(event.amount for event in inside) / len(inside)
    return sum(_known_fraud(event, time, arrived) for event in inside) / len(inside)


def _known_fraud(payment: Transaction, time: datetime, arrived: Sequence[Transaction | Label]) -> bool:
    known = [
        event
        for event in arrived
        if isinstance(event, Label) and event.transaction_id == payment.transaction_id and event.occurred_at <= time
    ]
    return bool(known) and max(known, key=lambda label: (label.occurred_at, label.label == "fraud")).label == "fraud"


def _entity(entity: Entity, payment: Transaction) -> str:
    return {Entity.CARD: payment.card_id, Entity.MERCHANT: payment.merchant_id}[entity]
