"""Intervals by the bootstrap, over cards: one card's payments are alike, so they are drawn together or not at all.

Percentile bootstrap (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13), clustered as in
Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section 3.8. A statistic is a function of how
often each card counts: once each gives the figure itself, a draw with replacement gives one resample of it. So nothing
is copied or sorted again for a resample.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

COVERAGE_PERCENT = 95

Counts = npt.NDArray[np.int64]
"""Shape (cards,): how often each card counts, cards in ascending order of their numbers."""
Statistic = Callable[[Counts], Sequence[float]]
"""Figures of the payments, where each counts as often as its card; NaN for one that cannot be told."""


class Interval(NamedTuple):
    """A figure, and the ends of its 95 % interval; NaN where it cannot be told."""

    value: float
    low: float
    high: float


def intervals(statistic: Statistic, cards: int, *, resamples: int, seed: int) -> list[Interval]:
    """Return each of the statistic's figures with its interval.

    cards: how many there are. Resamples without a single fraud, or whatever else leaves a figure undefined, are left
    out of that figure's interval.
    """
    random = np.random.default_rng(seed)
    values = statistic(np.ones(cards, dtype=np.int64))
    drawn = np.array([statistic(_draw(cards, random)) for _ in range(resamples)], dtype=np.float64)
    return [_interval(value, drawn[:, at]) for at, value in enumerate(values)]


def card_places(cards: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], int]:
    """Return the place of each payment's card among the cards in ascending order, shape (n,), and how many cards."""
    distinct, places = np.unique(cards, return_inverse=True)
    return places.astype(np.int64), len(distinct)


def sums_by_card(columns: Sequence[npt.NDArray[np.float64]], places: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return each card's sum of each column, shape (cards, columns): counts @ sums is the columns' resampled totals."""
    return np.stack([np.bincount(places, weights=column) for column in columns], axis=1)


def _draw(cards: int, random: np.random.Generator) -> Counts:
    return np.bincount(random.integers(cards, size=cards), minlength=cards)


def _interval(value: float, drawn: npt.NDArray[np.float64]) -> Interval:
    told = drawn[np.isfinite(drawn)]
    if not len(told):
        return Interval(float(value), float("nan"), float("nan"))
    outside = (100 - COVERAGE_PERCENT) / 2
    low, high = np.percentile(told, [outside, 100 - outside])
    return Interval(float(value), float(low), float(high))
