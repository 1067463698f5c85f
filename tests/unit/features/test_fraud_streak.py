"""How many frauds in a row a merchant is known to have had, worked out by hand."""

from datetime import timedelta

import pytest

from shared.features.definitions import DAY, Aggregation, AmountBelow, Entity, FeatureSet, Window
from shared.features.engine import FeatureEngine
from tests.events import label, payment
from tests.unit.features.applying import Applying

DELAY = 7 * DAY
STREAK = Window(Entity.MERCHANT, Aggregation.FRAUD_STREAK, 20 * DAY, DELAY)
EVERYDAY_STREAK = Window(Entity.MERCHANT, Aggregation.FRAUD_STREAK, 20 * DAY, DELAY, where=AmountBelow(500))
LARGE = 900


def streaks(frauds: str, *, asked_after: timedelta, large: tuple[int, ...] = ()) -> tuple[float, float]:
    """Return both streaks after a payment a day at one merchant, those marked F frauds, known `DELAY` later."""
    applying = Applying(FeatureEngine(FeatureSet("streaks", (STREAK, EVERYDAY_STREAK))))
    for day, kind in enumerate(frauds):
        paid = payment(f"t{day}", after=day * DAY, card_id=f"c{day}", amount=LARGE if day in large else 1)
        applying.pay([paid])
        if kind == "F":
            applying.tell(label(paid, known_after=DELAY))
    streak, everyday_streak = applying.pay([payment("asking", after=asked_after, card_id="c")]).values[0].tolist()
    return streak, everyday_streak


@pytest.mark.parametrize(
    ("frauds", "asked_after_days", "streak"),
    [
        ("ggFFF", 11, 3),  # the last of them is known since this instant
        ("ggFFF", 10, 2),
        ("ggFFFg", 11, 3),  # of the genuine one too little time has passed to tell
        ("ggFFFg", 12, 0),
        ("FgFF", 20, 2),
        ("FFFF", 27, 3),  # the oldest has left the window
        ("gggg", 20, 0),
    ],
)
def test_frauds_since_the_last_payment_that_is_not_known_to_be_one(
    frauds: str, asked_after_days: int, streak: float
) -> None:
    assert streaks(frauds, asked_after=asked_after_days * DAY)[0] == streak


def test_a_filter_takes_payments_out_of_the_row() -> None:
    assert streaks("FFgF", asked_after=15 * DAY, large=(2,)) == (1, 3)
    assert streaks("FFgF", asked_after=15 * DAY, large=(3,)) == (1, 0)
