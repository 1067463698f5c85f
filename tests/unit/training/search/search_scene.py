"""A small training set in which large amounts are mostly fraud, and two folds of it."""

from datetime import UTC, datetime

import numpy as np

from services.training.data.dataset import TrainingSet
from services.training.data.folds import Fold, prequential_folds
from services.training.search.search import Progress
from shared.features.catalog.fraud import HANDBOOK

HOUR_US = 3600 * 1_000_000
AMOUNT = HANDBOOK.feature_names.index("amount")


def training_set(rows: int = 600, *, seed: int = 0) -> TrainingSet:
    """One payment an hour; a fifth of them fraud."""
    rng = np.random.default_rng(seed)
    values = rng.gamma(2.0, 20.0, (rows, len(HANDBOOK.features))).astype(np.float32)
    frauds = (values[:, AMOUNT] + rng.normal(0, 10, rows) > 65).astype(np.int8)
    return TrainingSet(
        feature_set=HANDBOOK,
        rows=values,
        frauds=frauds,
        times=np.arange(rows, dtype=np.int64) * HOUR_US,
        cards=rng.integers(50, size=rows),
        amounts=values[:, AMOUNT].astype(np.int64),
        as_of=datetime(2026, 3, 1, tzinfo=UTC),
    )


def two_folds(data: TrainingSet) -> list[Fold]:
    return prequential_folds(data.times, count=2, test_us=100 * HOUR_US, gap_us=10 * HOUR_US)


def unseen(_progress: Progress) -> None:
    """Show nobody."""
