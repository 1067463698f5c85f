"""A small model in service and the payments before it: what comes in, day by day."""

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from services.drift.champion import Champion
from services.training.profile import profile_of
from services.training.references import category_reference, reference
from shared.models.manifest import CategoryEncoding, Thresholds

NAMES = ("amount", "night", "country", "mcc", "card_count", "card_mean", "card_known", "constant")
COUNTRIES, TRADES = (10, 20, 30), (5411, 5499, 5541, 5732)
DAY_PAYMENTS = 400
TRAINING_DAYS = 16
LIVE = datetime(2026, 3, 17, tzinfo=UTC)
"""The day after the last one of training."""

_DAY_US = 86_400_000_000
_LIVE_US = int(LIVE.timestamp()) * 1_000_000

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def day_times(day: int) -> Integers:
    """Return the event times of a day's payments; day 0 is LIVE."""
    return _LIVE_US + day * _DAY_US + np.arange(DAY_PAYMENTS) * (_DAY_US // DAY_PAYMENTS)


def day_rows(day: int, seed: int = 0) -> Floats:
    """Return a day's payments, in order of time; amount and card_mean go together, card_known is mostly 0."""
    random = np.random.default_rng([seed, day + TRAINING_DAYS])
    wealth = random.normal(size=DAY_PAYMENTS)
    weekend = 0.3 if (day + 1) % 7 < 2 else 0.0
    columns = (
        np.exp(3 + wealth + 0.3 * random.normal(size=DAY_PAYMENTS) + weekend),
        np.arange(DAY_PAYMENTS) < DAY_PAYMENTS * 7 // 24,
        random.choice(COUNTRIES, DAY_PAYMENTS),
        random.choice(TRADES, DAY_PAYMENTS),
        random.poisson(4, DAY_PAYMENTS) + 1,
        np.exp(3 + wealth),
        random.random(DAY_PAYMENTS) < 0.05,
        np.full(DAY_PAYMENTS, 7.0),
    )
    return np.array(columns, dtype=np.float64).T


def column(name: str) -> int:
    return NAMES.index(name)


def champion() -> Champion:
    """Return a champion that was trained on the days before LIVE."""
    days = range(-TRAINING_DAYS, 0)
    rows = np.concatenate([day_rows(day) for day in days]).astype(np.float32)
    times = np.concatenate([day_times(day) for day in days])
    categories = {"country": list(COUNTRIES), "mcc": list(TRADES)}
    references = {
        name: (category_reference if name in categories else reference)(rows[:, at]) for at, name in enumerate(NAMES)
    }
    scores = np.random.default_rng(1).random(len(rows)).astype(np.float32)
    references["score"] = reference(scores)
    return Champion(
        version=3,
        since_ms=0,
        feature_version="f" * 64,
        feature_names=NAMES,
        references=references,
        profile=profile_of(references, NAMES, rows, times, {}),
        thresholds=Thresholds(review=0.5, decline=0.9),
        metrics={},
        intervals={},
        trained_until=None,
        categories={
            name: CategoryEncoding(codes=codes, fraud_rates=[0.0] * len(codes), unseen=0.0)
            for name, codes in categories.items()
        },
    )
