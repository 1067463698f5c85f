import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from shared.features.catalog.fraud import FRAUD, HANDBOOK
from shared.features.definitions import (
    DAY,
    HOUR,
    MINUTE,
    WINDOW_MAX,
    Aggregation,
    AmountBelow,
    Category,
    Entity,
    Equals,
    FeatureSet,
    Field,
    Row,
    RowFunction,
    Same,
    Window,
)
from shared.features.engine import FeatureEngine
from tests.events import payment
from tests.unit.features.applying import Applying

CARD, MERCHANT = Entity.CARD, Entity.MERCHANT


@pytest.mark.parametrize(
    ("feature", "name"),
    [
        (Window(CARD, Aggregation.MEAN, 7 * DAY), "card_mean_amount_7d"),
        (Window(CARD, Aggregation.COUNT, 90 * MINUTE), "card_count_90m"),
        (Window(MERCHANT, Aggregation.FRAUD_RATE, DAY, 7 * DAY), "merchant_fraud_rate_1d_delay_7d"),
        (Window((CARD, MERCHANT), Aggregation.COUNT, HOUR), "card_merchant_count_1h"),
        (Window(CARD, Aggregation.DISTINCT, DAY, of=MERCHANT), "card_distinct_merchant_1d"),
        (
            Window(CARD, Aggregation.SHARE, DAY, where=Equals(Field.CHANNEL, "atm")),
            "card_share_channel_atm_1d",
        ),
        (Window(CARD, Aggregation.COUNT, DAY, where=Same(Field.MCC)), "card_count_same_mcc_1d"),
        (Window(CARD, Aggregation.COUNT, DAY, where=AmountBelow(500)), "card_count_below_500_1d"),
        (Window(CARD, Aggregation.OUTLIERS, DAY, reference=30 * DAY), "card_outliers_1d_against_30d"),
        (Window(CARD, Aggregation.COUNT, timedelta(seconds=1_000_001)), "card_count_1000001s"),
        (Window(CARD, Aggregation.COUNT, timedelta(seconds=60.25)), "card_count_60.25s"),
        (Window(MERCHANT, Aggregation.FRAUD_STREAK, DAY, 7 * DAY), "merchant_fraud_streak_1d_delay_7d"),
        (Row(RowFunction.HOUR_SINE), "hour_sin"),
        (Category(Field.MCC), "mcc"),
    ],
)
def test_a_column_reads_like_its_definition(feature: Window | Row | Category, name: str) -> None:
    assert feature.name == name


@pytest.mark.parametrize(
    ("define", "told"),
    [
        (lambda: Window(CARD, Aggregation.COUNT, MINUTE / 2), "from 1m to 90d"),
        (lambda: Window(CARD, Aggregation.COUNT, WINDOW_MAX + MINUTE), "from 1m to 90d"),
        (lambda: Window(CARD, Aggregation.COUNT, DAY, -MINUTE), "a delay lasts"),
        (lambda: Window(CARD, Aggregation.OUTLIERS, DAY, reference=91 * DAY), "from 1m to 90d"),
        (lambda: Window(CARD, Aggregation.DISTINCT, DAY), "`of` goes with DISTINCT"),
        (lambda: Window(CARD, Aggregation.COUNT, DAY, of=MERCHANT), "`of` goes with DISTINCT"),
        (lambda: Window(CARD, Aggregation.OUTLIERS, DAY), "`reference` goes with OUTLIERS"),
        (lambda: Window(CARD, Aggregation.SUM, DAY, reference=DAY), "`reference` goes with OUTLIERS"),
        (lambda: Window(CARD, Aggregation.SHARE, DAY), "a SHARE needs `where`"),
        (lambda: Window(CARD, Aggregation.SINCE_LAST, DAY, DAY), "leave the payment itself out"),
        (lambda: Window(CARD, Aggregation.OUTLIERS, DAY, DAY, reference=DAY), "leave the payment itself out"),
        (lambda: Window(CARD, Aggregation.FRAUD_STREAK, DAY), "a delay is needed"),
        (lambda: Window((CARD, CARD), Aggregation.COUNT, DAY), "two different entities"),
    ],
)
def test_a_window_that_means_nothing_is_refused_by_its_name(define: Callable[[], Window], told: str) -> None:
    with pytest.raises(ValueError, match=rf"^card_.*{re.escape(told)}"):
        define()


@pytest.mark.parametrize(
    ("window", "told"),
    [
        (Window(CARD, Aggregation.DISTINCT, DAY, of=CARD), "every payment of a card has the same card"),
        (Window(MERCHANT, Aggregation.COUNT, DAY, where=Same(MERCHANT)), "has the same merchant"),
        (Window(CARD, Aggregation.COUNT, DAY, where=Equals(Field.CHANNEL, "pigeon")), "card_present, ecommerce"),
        (Window(CARD, Aggregation.COUNT, DAY, where=Equals(Field.COUNTRY, "de")), "country 'de'"),
        (Window(CARD, Aggregation.COUNT, DAY, where=Equals(Field.COUNTRY, "DEU")), "country 'DEU'"),
        (Window(CARD, Aggregation.COUNT, DAY, where=Equals(Field.CURRENCY, "EURO")), "currency 'EURO'"),
        (Window(CARD, Aggregation.COUNT, DAY, where=Equals(Field.MCC, "54110")), "mcc '54110'"),
        (Window(CARD, Aggregation.COUNT, DAY, where=Equals(Field.MCC, "food")), "mcc 'food'"),
    ],
)
def test_what_no_payment_can_have_is_refused_before_anything_is_served(window: Window, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        FeatureEngine(FeatureSet("wrong", (window,)))


def test_the_same_feature_twice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"feature set 'mine' defines twice: amount, card_count_1d$"):
        FeatureSet("mine", 2 * (Row(RowFunction.AMOUNT), Window(CARD, Aggregation.COUNT, DAY)))


def test_the_version_follows_from_the_features_and_their_order() -> None:
    more = FeatureSet("fraud", (*FRAUD.features, Window(CARD, Aggregation.COUNT, 2 * DAY)))
    turned = FeatureSet("fraud", FRAUD.features[::-1])
    renamed = FeatureSet("another", FRAUD.features)
    assert len({FRAUD.version, more.version, turned.version, HANDBOOK.version}) == 4
    assert renamed.version == FRAUD.version


def test_lengths_that_differ_have_different_versions() -> None:
    lengths = [timedelta(seconds=1_000_001), timedelta(seconds=1_000_003), timedelta(seconds=100_000, microseconds=1)]
    sets = [FeatureSet("mine", (Window(CARD, Aggregation.COUNT, length),)) for length in lengths]
    assert len({feature_set.version for feature_set in sets}) == 3


def test_the_horizon_is_the_longest_reach_of_an_entitys_own_windows() -> None:
    mine = FeatureSet(
        "mine",
        (
            Window(CARD, Aggregation.OUTLIERS, DAY, reference=3 * DAY),
            Window(MERCHANT, Aggregation.COUNT, 2 * DAY, 7 * DAY),
            Window((MERCHANT, Entity.DEVICE), Aggregation.COUNT, 8 * DAY),
        ),
    )
    assert [mine.horizon(entity) for entity in Entity] == [3 * DAY, 9 * DAY, 0 * DAY, 0 * DAY]
    assert mine.entities == (CARD, MERCHANT)
    assert mine.longest_horizon == 9 * DAY


def test_one_line_adds_a_feature() -> None:
    mine = FeatureSet("mine", (*FRAUD.features, Window(MERCHANT, Aggregation.MAX, 2 * HOUR)))
    applying, shipped = Applying(FeatureEngine(mine)), Applying(FeatureEngine(FRAUD))
    payments = [
        payment(f"t{n}", after=n * HOUR, card_id=f"c{n % 2}", amount=amount) for n, amount in enumerate((9, 7, 5, 3))
    ]
    values = applying.pay(payments).values
    assert values[:, -1].tolist() == [9, 9, 7, 5]
    assert values[:, :-1].tolist() == shipped.pay(payments).values.tolist()


def test_forty_features_ship() -> None:
    assert len(FRAUD.features) >= 40


def test_the_handbooks_features_need_only_card_and_merchant() -> None:
    assert HANDBOOK.entities == (CARD, MERCHANT)
    assert len(HANDBOOK.features) == 15
