"""Payments with a weekend, of cards with habits, and a model that was trained on them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.drift.champion import SCORE, Champion
from services.drift.data.watch import DataWatch
from services.training.profile import profile_of
from services.training.references import category_reference, reference
from shared.features.definitions import Field
from shared.features.state import category_code
from shared.models.manifest import CategoryEncoding, Thresholds

DAY_US = 86_400_000_000
FIRST_DAY = 20_000
NAMES = ("amount", "spent_1d", "country", "weekend", "constant")
AMOUNT, SPENT, COUNTRY, WEEKEND, CONSTANT = range(5)
DE, FR = (category_code(Field.COUNTRY, country) for country in ("DE", "FR"))
CARDS = 400
TRAINED_DAYS = 60


@dataclass
class Stream:
    """Payments in order of time. rows: shape (n, features). times_us, scores: shape (n,)."""

    rows: npt.NDArray[np.float32]
    times_us: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]

    def of_days(self, first: int, last: int) -> "Stream":
        """Payments of the days `first` up to `last`, counted from the first of all."""
        days = self.times_us // DAY_US - FIRST_DAY
        taken = (days >= first) & (days < last)
        return Stream(self.rows[taken].copy(), self.times_us[taken].copy(), self.scores[taken].copy())

    def after(self, day: int) -> npt.NDArray[np.bool_]:
        """Which payments are not earlier than `day`."""
        return self.times_us // DAY_US - FIRST_DAY >= day


def stream(seed: int, days: int, *, payments_a_day: int = 500) -> Stream:
    """Draw payments: amounts go by the card and are higher on two days of seven."""
    chance = np.random.default_rng(seed)
    habit = chance.normal(4, 0.7, CARDS)
    abroad = chance.random(CARDS) < 0.3
    counts = chance.poisson(payments_a_day, days)
    day = np.repeat(np.arange(days), counts)
    card = chance.integers(CARDS, size=len(day))
    amount = np.exp(habit[card] + 0.4 * (day % 7 >= 5) + chance.normal(0, 0.5, len(day)))
    spent = amount + np.exp(habit[card]) * chance.poisson(1, len(day))
    country = np.where(abroad[card], FR, DE)
    rows = np.column_stack([amount, spent, country, day % 7 >= 5, np.ones(len(day))]).astype(np.float32)
    within = np.sort(chance.random(len(day)) + day) - day  # ascending within each day
    times = ((FIRST_DAY + day + np.clip(within, 0, 0.999_999)) * DAY_US).astype(np.int64)
    return Stream(rows, times, chance.beta(1, 20, len(day)))


def champion(trained: Stream, *, profiled: bool = True) -> Champion:
    """A model that was trained on these payments."""
    references = {
        name: (category_reference if name == "country" else reference)(trained.rows[:, at])
        for at, name in enumerate(NAMES)
    }
    references[SCORE] = reference(trained.scores.astype(np.float32))
    made = profile_of(references, NAMES, trained.rows, trained.times_us, {"country": [DE, FR]} if profiled else {})
    return Champion(
        version=3,
        since_ms=0,
        feature_version="f" * 64,
        feature_names=NAMES,
        references=references,
        profile=made if profiled else None,
        thresholds=Thresholds(review=0.5, decline=0.9),
        metrics={},
        intervals={},
        trained_until=None,
        categories={"country": CategoryEncoding(codes=sorted([DE, FR]), fraud_rates=[0.0, 0.0], unseen=0.0)},
    )


def watch(model: Champion, *, threshold_days: float = 304.0, psi_min: float = 0.1) -> DataWatch:
    return DataWatch(model, threshold_days=threshold_days, psi_min=psi_min, day_payments_min=200)


def feed(watched: DataWatch, seen: Stream, *, batch: int = 500) -> None:
    """Let it see the payments in the order they are in."""
    for at in range(0, len(seen.rows), batch):
        watched.observe(seen.rows[at : at + batch], seen.times_us[at : at + batch])
