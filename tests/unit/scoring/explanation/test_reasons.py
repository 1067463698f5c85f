"""Every feature of any set gets a sentence, and reasons are what pushes towards fraud, the weightiest first."""

import math
from datetime import timedelta

import numpy as np
import pytest

from services.scoring.explanation.explainer import Explanation
from services.scoring.explanation.reasons import reasons_of
from services.scoring.explanation.wording import sentence
from shared.features.catalog.fraud import FRAUD
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
    Row,
    RowFunction,
    Same,
    Window,
)
from shared.features.state import category_code

CARD, MERCHANT, DEVICE, USER = Entity.CARD, Entity.MERCHANT, Entity.DEVICE, Entity.USER
LATE = 7 * DAY

SENTENCES: list[tuple[Feature, float, str]] = [
    (Row(RowFunction.AMOUNT), 199_900, "amount is 199,900 minor units"),
    (Row(RowFunction.NIGHT), 1, "paid at night, before 7:00 UTC"),
    (Row(RowFunction.WEEKEND), 0, "paid on a working day"),
    (Row(RowFunction.HOUR_SINE), 0.5, "hour_sin is 0.50"),
    (Category(Field.CHANNEL), category_code(Field.CHANNEL, "ecommerce"), "channel is ecommerce"),
    (Category(Field.COUNTRY), category_code(Field.COUNTRY, "DE"), "country is DE"),
    (Category(Field.MCC), 5411, "merchant category is 5411"),
    (Category(Field.CHANNEL), 99, "channel is unknown (code 99)"),
    (Window(CARD, Aggregation.COUNT, 10 * MINUTE), 6, "6 payments of this card in 10 minutes"),
    (Window(CARD, Aggregation.COUNT, HOUR), 1, "1 payment of this card in 1 hour"),
    (
        Window(CARD, Aggregation.COUNT, DAY, where=AmountBelow(500)),
        3,
        "3 payments of less than 500 minor units of this card in 1 day",
    ),
    (
        Window((CARD, MERCHANT), Aggregation.COUNT, 30 * DAY),
        0,
        "0 payments of this card at this merchant in 30 days",
    ),
    (
        Window((MERCHANT, CARD), Aggregation.COUNT, 30 * DAY),
        2,
        "2 payments at this merchant by this card in 30 days",
    ),
    (
        Window(CARD, Aggregation.SUM, DAY),
        12_345.0,
        "sum of the payments of this card in 1 day is 12,345 minor units",
    ),
    (
        Window(USER, Aggregation.DISTINCT, 7 * DAY, of=Field.COUNTRY),
        4,
        "4 different countries among the payments of this user in 7 days",
    ),
    (
        Window(MERCHANT, Aggregation.DISTINCT, HOUR, of=CARD),
        40,
        "40 different cards among the payments at this merchant in 1 hour",
    ),
    (
        Window(CARD, Aggregation.SHARE, 30 * DAY, where=Same(Field.COUNTRY)),
        0.125,
        "12 % of the payments of this card in 30 days are of the same country",
    ),
    (
        Window(CARD, Aggregation.SHARE, 30 * DAY, where=Equals(Field.CHANNEL, "ecommerce")),
        0.004,
        "0.4 % of the payments of this card in 30 days are of channel ecommerce",
    ),
    (
        Window(MERCHANT, Aggregation.FRAUD_RATE, 7 * DAY, LATE),
        0.12,
        "12 % of the payments at this merchant in the 7 days up to 7 days ago are known to be fraud",
    ),
    (
        Window(DEVICE, Aggregation.FRAUD_COUNT, 30 * DAY),
        2,
        "2 payments on this device in 30 days known to be fraud",
    ),
    (
        Window(CARD, Aggregation.OUTLIERS, DAY, reference=30 * DAY),
        2,
        "2 payments of this card in 1 day of an amount far from what is usual over 30 days",
    ),
    (
        Window(CARD, Aggregation.SINCE_LAST, 30 * DAY),
        150,
        "the payment of this card before this one was 2.5 minutes ago",
    ),
    (
        Window(CARD, Aggregation.SINCE_LAST, 30 * DAY),
        30 * DAY.total_seconds(),
        "no payment of this card in 30 days before this one",
    ),
    (
        Window(CARD, Aggregation.SINCE_FIRST, 30 * DAY),
        90,
        "the first payment of this card in 30 days was 90 seconds ago",
    ),
    (
        Window(MERCHANT, Aggregation.SINCE_FRAUD, 30 * DAY, LATE),
        8 * DAY.total_seconds(),
        "the latest payment at this merchant in the 30 days up to 7 days ago known to be fraud was 8 days ago",
    ),
    (
        Window(MERCHANT, Aggregation.SINCE_FRAUD, 30 * DAY, LATE),
        37 * DAY.total_seconds(),
        "no payment at this merchant in the 30 days up to 7 days ago known to be fraud",
    ),
    (
        Window(MERCHANT, Aggregation.FRAUD_STREAK, 30 * DAY, LATE),
        3,
        "the latest 3 payments at this merchant in the 30 days up to 7 days ago: each known to be fraud",
    ),
    (
        Window(CARD, Aggregation.RATIO, 30 * DAY),
        7.04,
        "amount is 7.0 x the mean of the payments of this card in 30 days",
    ),
    (
        Window(CARD, Aggregation.RATIO, 30 * DAY),
        0,
        "amount is 0, or there is no payment of this card in 30 days to compare it with",
    ),
    (
        Window(CARD, Aggregation.Z_SCORE, 30 * DAY),
        -2.5,
        "amount is 2.5 standard deviations below the mean of the payments of this card in 30 days",
    ),
    (
        Window(CARD, Aggregation.ROBUST_Z, 30 * DAY),
        1234.5,
        "amount is 1,234 robust standard deviations above the median of the payments of this card in 30 days",
    ),
]


@pytest.mark.parametrize(("feature", "value", "told"), SENTENCES, ids=[f"{f.name}={v}" for f, v, _ in SENTENCES])
def test_a_sentence_says_what_a_value_means(feature: Feature, value: float, told: str) -> None:
    assert sentence(feature, value, {}) == told


@pytest.mark.parametrize("aggregation", Aggregation)
@pytest.mark.parametrize("value", [0.0, 1.0, 0.37, 5e6])
def test_every_aggregation_has_sentences_that_name_whose_payments(aggregation: Aggregation, value: float) -> None:
    window = Window(
        MERCHANT,
        aggregation,
        3 * DAY,
        DAY if aggregation is Aggregation.FRAUD_STREAK else timedelta(),
        Same(CARD),
        of=CARD if aggregation is Aggregation.DISTINCT else None,
        reference=DAY if aggregation is Aggregation.OUTLIERS else None,
    )
    told = sentence(window, value, {})
    assert "at this merchant" in told
    assert "of the same card" in told


@pytest.mark.parametrize(("hours", "told"), [(0, "0:00"), (3.5, "3:30"), (12.25, "12:15"), (23.75, "23:45")])
def test_the_hour_is_told_by_its_sine_and_cosine(hours: float, told: str) -> None:
    turn = 2 * math.pi * hours / 24
    row = {RowFunction.HOUR_SINE: math.sin(turn), RowFunction.HOUR_COSINE: math.cos(turn)}
    for function, value in row.items():
        assert sentence(Row(function), value, row) == f"paid at {told} UTC"


@pytest.mark.parametrize("day", range(7))
def test_the_weekday_is_told_by_its_sine_and_cosine(day: int) -> None:
    names = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
    turn = 2 * math.pi * day / 7
    row = {RowFunction.WEEKDAY_SINE: math.sin(turn), RowFunction.WEEKDAY_COSINE: math.cos(turn)}
    assert sentence(Row(RowFunction.WEEKDAY_SINE), math.sin(turn), row) == f"paid on a {names[day]}"


def explanation(contributions: dict[str, float]) -> Explanation:
    each = np.array([contributions.get(name, -0.1) for name in FRAUD.feature_names])
    return Explanation("tree_shap", -3.0, -3.0 + float(each.sum()), each)


def test_reasons_are_what_pushes_towards_fraud_the_weightiest_first() -> None:
    values = dict.fromkeys(FRAUD.feature_names, 0.0) | {"card_count_10m": 6.0, "amount": 99_900.0, "country": 82.0}
    told = explanation({"amount": 0.5, "card_count_10m": 2.0, "country": 0.3, "night": 0.0})
    reasons = reasons_of(list(values.values()), FRAUD.features, told, count=10)
    assert [(reason.code, reason.text, reason.contribution) for reason in reasons] == [
        ("feature:card_count_10m", "6 payments of this card in 10 minutes", 2.0),
        ("feature:amount", "amount is 99,900 minor units", 0.5),
        ("feature:country", "country is DE", 0.3),
    ]
    assert [reason.feature for reason in reasons] == ["card_count_10m", "amount", "country"]
    assert reasons_of(list(values.values()), FRAUD.features, told, count=2) == reasons[:2]
    assert reasons_of(list(values.values()), FRAUD.features, told, count=0) == []


def test_the_same_sentence_is_not_told_twice() -> None:
    told = explanation({"hour_sin": 0.7, "hour_cos": 0.6, "amount": 0.5})
    values = [0.0 if name != "hour_cos" else 1.0 for name in FRAUD.feature_names]
    texts = [reason.text for reason in reasons_of(values, FRAUD.features, told, count=3)]
    assert texts == ["paid at 0:00 UTC", "amount is 0 minor units"]


def test_a_vector_of_other_features_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        reasons_of([1.0], FRAUD.features, explanation({}), count=1)
