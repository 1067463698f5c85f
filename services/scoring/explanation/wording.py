"""Sentences that say what the value of a feature means, from the feature's definition; amounts are in minor units."""

import math
from collections.abc import Callable, Mapping
from datetime import timedelta

from shared.features.definitions import (
    DAY,
    HOUR,
    MINUTE,
    Aggregation,
    AmountBelow,
    Category,
    Entity,
    Equals,
    Feature,
    Field,
    Filter,
    Row,
    RowFunction,
    Window,
)
from shared.features.state import category_value

_FIELDS = {
    Field.CHANNEL: "channel",
    Field.COUNTRY: "country",
    Field.MCC: "merchant category",
    Field.CURRENCY: "currency",
}
_PLURALS = {
    Field.CHANNEL: "channels",
    Field.COUNTRY: "countries",
    Field.MCC: "merchant categories",
    Field.CURRENCY: "currencies",
}
_BELONGING = {
    Entity.CARD: "of this card",
    Entity.MERCHANT: "at this merchant",
    Entity.DEVICE: "on this device",
    Entity.USER: "of this user",
}
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_CIRCLES = {
    RowFunction.HOUR_SINE: (RowFunction.HOUR_SINE, RowFunction.HOUR_COSINE),
    RowFunction.HOUR_COSINE: (RowFunction.HOUR_SINE, RowFunction.HOUR_COSINE),
    RowFunction.WEEKDAY_SINE: (RowFunction.WEEKDAY_SINE, RowFunction.WEEKDAY_COSINE),
    RowFunction.WEEKDAY_COSINE: (RowFunction.WEEKDAY_SINE, RowFunction.WEEKDAY_COSINE),
}


def sentence(feature: Feature, value: float, row: Mapping[RowFunction, float]) -> str:
    """Return what `value` of `feature` means.

    row: of the payment's functions of itself, those that the vector holds: a sine needs its cosine to be a time.
    """
    match feature:
        case Category():
            return f"{_FIELDS[feature.field]} is {_category(feature.field, value)}"
        case Row():
            return _of_the_payment(feature.function, value, row)
        case Window():
            return _SENTENCES[feature.aggregation](feature, value)


def _category(field: Field, value: float) -> str:
    try:
        return category_value(field, int(value))
    except ValueError:
        return f"unknown (code {value:g})"


def _of_the_payment(function: RowFunction, value: float, row: Mapping[RowFunction, float]) -> str:
    if function is RowFunction.AMOUNT:
        return f"amount is {_amount(value)}"
    if function is RowFunction.WEEKEND:
        return "paid on a weekend" if value else "paid on a working day"
    if function is RowFunction.NIGHT:
        return "paid at night, before 7:00 UTC" if value else "paid by day, after 7:00 UTC"
    sine, cosine = (row.get(part) for part in _CIRCLES[function])
    if sine is None or cosine is None:
        return f"{function.value} is {value:.2f}"
    turn = math.atan2(sine, cosine) / (2 * math.pi) % 1
    if function in {RowFunction.HOUR_SINE, RowFunction.HOUR_COSINE}:
        hours, minutes = divmod(round(turn * 24 * 60) % (24 * 60), 60)
        return f"paid at {hours}:{minutes:02d} UTC"
    return f"paid on a {_WEEKDAYS[round(turn * 7) % 7]}"


def _amount(value: float) -> str:
    return f"{round(value):,} minor units"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:,.1f}"


def _percent(value: float) -> str:
    percent = 100 * value
    return f"{percent:.0f} %" if percent >= 10 or percent == round(percent) else f"{percent:.2g} %"


def _span(span: timedelta) -> str:
    for unit, length in (("day", DAY), ("hour", HOUR), ("minute", MINUTE)):
        if span % length == timedelta():
            return _counted(span // length, unit)
    return _counted(span.total_seconds(), "second")


def _lasting(seconds: float) -> str:
    for unit, length in (("day", DAY), ("hour", HOUR), ("minute", MINUTE)):
        count = seconds / length.total_seconds()
        if count >= 2:
            return _counted(round(count, 1), unit)
    return _counted(round(seconds), "second")


def _counted(count: float, noun: str) -> str:
    return f"{_number(count)} {noun}{'' if count == 1 else 's'}"


def _when(window: Window) -> str:
    """Return when, for example "in 7 days", or "in the 7 days up to 7 days ago"."""
    if window.delay:
        return f"in the {_span(window.length)} up to {_span(window.delay)} ago"
    return f"in {_span(window.length)}"


def _whose(window: Window) -> str:
    first, *others = window.entities
    return " ".join([_BELONGING[first], *(_narrowed(other) for other in others)])


def _narrowed(entity: Entity) -> str:
    return _BELONGING[entity] if entity in {Entity.MERCHANT, Entity.DEVICE} else f"by this {entity.value}"


def _such(where: Filter | None) -> str:
    """Return which payments pass a filter, to stand behind "payments"; with a space before it where there is one."""
    if where is None:
        return ""
    if isinstance(where, AmountBelow):
        return f" of less than {_amount(where.minor_units)}"
    if isinstance(where, Equals):
        return f" of {_FIELDS[where.field]} {where.value}"
    return f" of the same {_noun(where.field)}"


def _noun(what: Field | Entity) -> str:
    return _FIELDS[what] if isinstance(what, Field) else what.value


def _payments(window: Window) -> str:
    """Return whose payments, which, and when, to stand behind "payments"."""
    return f"{_such(window.where)} {_whose(window)} {_when(window)}"


def _count(window: Window, value: float) -> str:
    return f"{_counted(value, 'payment')}{_payments(window)}"


def _of_amounts(what: str) -> Callable[[Window, float], str]:
    return lambda window, value: f"{what} of the payments{_payments(window)} is {_amount(value)}"


def _distinct(window: Window, value: float) -> str:
    of = window.of
    kinds = _PLURALS[of] if isinstance(of, Field) else f"{_noun(of)}s" if of else ""
    return f"{_number(value)} different {kinds} among the payments{_payments(window)}"


def _share(window: Window, value: float) -> str:
    return f"{_percent(value)} of the payments {_whose(window)} {_when(window)} are{_such(window.where)}"


def _fraud_count(window: Window, value: float) -> str:
    return f"{_count(window, value)} known to be fraud"


def _fraud_rate(window: Window, value: float) -> str:
    return f"{_percent(value)} of the payments{_payments(window)} are known to be fraud"


def _fraud_streak(window: Window, value: float) -> str:
    if not value:
        return f"the latest payment{_payments(window)} is not known to be fraud"
    return f"the latest {_counted(value, 'payment')}{_payments(window)}: each known to be fraud"


def _outliers(window: Window, value: float) -> str:
    usual = _span(window.reference or window.length)
    return f"{_count(window, value)} of an amount far from what is usual over {usual}"


def _since_last(window: Window, value: float) -> str:
    if value >= window.length.total_seconds():
        return f"no payment{_payments(window)} before this one"
    return f"the payment{_such(window.where)} {_whose(window)} before this one was {_lasting(value)} ago"


def _since_first(window: Window, value: float) -> str:
    if not value:
        return f"no payment{_payments(window)} before this one"
    return f"the first payment{_payments(window)} was {_lasting(value)} ago"


def _since_fraud(window: Window, value: float) -> str:
    if value >= (window.length + window.delay).total_seconds():
        return f"no payment{_payments(window)} known to be fraud"
    return f"the latest payment{_payments(window)} known to be fraud was {_lasting(value)} ago"


def _ratio(window: Window, value: float) -> str:
    if not value:
        return f"amount is 0, or there is no payment{_payments(window)} to compare it with"
    return f"amount is {_number(value)} x the mean of the payments{_payments(window)}"


def _deviating(middle: str, spread: str) -> Callable[[Window, float], str]:
    def told(window: Window, value: float) -> str:
        if not value:
            return f"amount is the {middle} of the payments{_payments(window)}, or there are none to compare it with"
        side = "below" if value < 0 else "above"
        return f"amount is {_number(abs(value))} {spread} {side} the {middle} of the payments{_payments(window)}"

    return told


_SENTENCES: Mapping[Aggregation, Callable[[Window, float], str]] = {
    Aggregation.COUNT: _count,
    Aggregation.SUM: _of_amounts("sum"),
    Aggregation.MEAN: _of_amounts("mean"),
    Aggregation.DEVIATION: _of_amounts("standard deviation"),
    Aggregation.MIN: _of_amounts("smallest"),
    Aggregation.MAX: _of_amounts("largest"),
    Aggregation.DISTINCT: _distinct,
    Aggregation.SHARE: _share,
    Aggregation.FRAUD_COUNT: _fraud_count,
    Aggregation.FRAUD_RATE: _fraud_rate,
    Aggregation.OUTLIERS: _outliers,
    Aggregation.SINCE_LAST: _since_last,
    Aggregation.SINCE_FIRST: _since_first,
    Aggregation.SINCE_FRAUD: _since_fraud,
    Aggregation.FRAUD_STREAK: _fraud_streak,
    Aggregation.RATIO: _ratio,
    Aggregation.Z_SCORE: _deviating("mean", "standard deviations"),
    Aggregation.ROBUST_Z: _deviating("median", "robust standard deviations"),
}
