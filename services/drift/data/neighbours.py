"""How far a day is from the reference days that are most like it.

A Sunday is near Sundays and a payday near paydays, so nothing here knows a calendar. Which days are near is asked for
each quantity by itself: no reference day may be alike in all, as where payday falls on a Friday for the first time. So
a change that makes every Tuesday a Sunday is seen only once Sundays are beyond what they were.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

NEAREST = 3
PAYMENTS_MIN = 50
"""A day of a segment with fewer says nothing."""
APART_DAYS_MAX = 14
"""A reference day is held against others at least so many days away, as a day to come is."""
_REFERENCE_PARTS = 4
"""But no farther than this part of all reference days, so that enough of them remain."""


class Compared(NamedTuple):
    """A day beside the days that are nearest to it.

    log_distance: shape (places, quantities), NaN where the day, or all of those, have fewer than PAYMENTS_MIN payments.
    matched: shape (places, quantities, bins), shares of the bins on the nearest days together.
    """

    log_distance: Floats
    matched: Counts


class Neighbours:
    """Reference days, by place (everything, then segments) and quantity."""

    def __init__(self, counts: Integers, days: Integers) -> None:
        """Keep them.

        counts: shape (days, places, quantities, bins). days: shape (days,), ascending, in days since 1970.
        """
        self._counts = counts.astype(np.float32)
        self._days = days
        totals = counts.sum(axis=-1)
        self._payments_usual = np.median(totals, axis=0)
        self._freedom = np.maximum((counts.sum(axis=0) > 0).sum(axis=-1) - 1, 1).astype(np.float64)

    @property
    def scale_min(self) -> Floats:
        """The deviation that drawing payments alone gives a log distance, shape (places, quantities)."""
        scale: Floats = 1 / np.sqrt(2 * self._freedom)
        return scale

    def compare(self, counts: Integers) -> Compared:
        """Return how far a new day is; counts: shape (places, quantities, bins)."""
        return self._compare(counts.astype(np.float32), self._counts)

    def usual(self) -> list[Floats]:
        """Return how far each reference day is from the others, shape (places, quantities) each, in order of time."""
        span = int(self._days[-1] - self._days[0]) + 1
        apart = min(APART_DAYS_MAX, max(1, span // _REFERENCE_PARTS))
        return [
            self._compare(own, self._counts[np.abs(self._days - day) >= apart]).log_distance
            for own, day in zip(self._counts, self._days, strict=True)
        ]

    def _compare(self, counts: Counts, others: Counts) -> Compared:
        """Compare with the NEAREST of `others`, shape (days, places, quantities, bins).

        A day with more payments than are usual counts as one with as many: the more payments, the surer it is that no
        two days are quite alike, and growth is not what is looked for.
        """
        payments = np.maximum(counts.sum(axis=-1), 1)
        thinned = counts * np.minimum(1, self._payments_usual / payments).astype(np.float32)[..., None]
        apart = np.nan_to_num(two_sample(thinned, others), nan=np.inf)
        nearest = np.argpartition(apart, min(NEAREST, len(others)) - 1, axis=0)[:NEAREST]
        matched = np.take_along_axis(others, nearest[..., None], axis=0).sum(axis=0)
        log_distance = np.log(self._freedom + np.maximum(two_sample(thinned, matched), 0))
        return Compared(log_distance, matched / np.maximum(matched.sum(axis=-1, keepdims=True), 1))


def two_sample(counts: Counts, others: Counts) -> Floats:
    """Return the chi-squared statistic of two samples in bins, over the last axis; NaN of one below PAYMENTS_MIN.

    Sum over bins of (sqrt(n2 / n1) a - sqrt(n1 / n2) b)^2 / (a + b), with a and b the counts, n1 and n2 their sums
    (Press et al., "Numerical Recipes", 3rd edition, 2007, section 14.3); all but the sum of a^2 / (a + b) cancels.
    """
    first, second = counts.sum(axis=-1, dtype=np.float64), others.sum(axis=-1, dtype=np.float64)
    enough = (first >= PAYMENTS_MIN) & (second >= PAYMENTS_MIN)
    first, second = np.where(enough, first, 1.0), np.where(enough, second, 1.0)
    both = counts + others
    np.divide(counts**2, both, out=both, where=both > 0)
    total = first + second
    statistic = (total / second) * (total / first * both.sum(axis=-1, dtype=np.float64) - first)
    return np.where(enough, statistic, np.nan)
