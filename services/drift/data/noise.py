"""How much a number usually changes from one day to the next, learnt as the days come.

Held against what yesterday gave reason to expect (a regression on the day before), a feature over thirty days, which is
today nearly what it was yesterday, does not speak twice of one thing. And a day becomes part of what is usual once it
has been judged: so the p-values of days to come do not all hang on what few reference days happened to be like. Of a
day that was hardly likely only so much is learnt as of one that was, or a change would soon pass for usual.
"""

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

Floats = npt.NDArray[np.float64]

PAIRS_MIN = 4
"""Pairs of days, of which the regression takes two degrees of freedom."""
_SPREAD_MIN = 1e-12
_LEARNT_P_MIN = 0.01


class Noise:
    """One series of numbers for each watch."""

    def __init__(self, scale_min: Floats) -> None:
        """Start without days; scale_min: shape (watches,), no series counts as quieter than with this deviation."""
        watches = len(scale_min)
        self._scale_min = scale_min
        self._pairs = np.zeros(watches)
        self._sums = np.zeros((5, watches))
        self._before = np.full(watches, np.nan)

    def learn(self, values: Floats) -> None:
        """Take in a day; values: shape (watches,), NaN where there is none."""
        seen = ~np.isnan(values)
        paired = seen & ~np.isnan(self._before)
        expected, deviation, freedom = self._prediction()
        likely_max = expected + student.isf(_LEARNT_P_MIN, freedom) * deviation
        capped = np.where(self._pairs >= PAIRS_MIN, np.minimum(values, likely_max), values)
        before, now = np.where(paired, self._before, 0), np.where(paired, capped, 0)
        self._pairs += paired
        self._sums += np.array([before, now, before * before, before * now, now * now])
        self._before = np.where(seen, values, self._before)

    def p_of(self, values: Floats) -> Floats:
        """Return how likely a day as high as this one is, shape as `values`; NaN where that cannot be told yet."""
        expected, deviation, freedom = self._prediction()
        p: Floats = student.sf((values - expected) / deviation, freedom)
        return np.where(self._pairs >= PAIRS_MIN, p, np.nan)

    def _prediction(self) -> tuple[Floats, Floats, Floats]:
        """Return what the next day should be, by how much it may differ, and the degrees of freedom of that.

        The prediction interval of a regression with normal residuals. A series does not swing against itself: a
        negative slope counts as none.
        """
        pairs = np.maximum(self._pairs, 1)
        before, now, before_squared, product, now_squared = self._sums
        mean_before, mean_now = before / pairs, now / pairs
        spread = np.maximum(before_squared - pairs * mean_before**2, _SPREAD_MIN)
        joint = product - pairs * mean_before * mean_now
        slope = np.clip(joint / spread, 0, 1)
        left = now_squared - pairs * mean_now**2 - 2 * slope * joint + slope**2 * spread
        freedom = np.maximum(self._pairs - 2, 1)
        scale = np.maximum(np.sqrt(np.maximum(left, 0) / freedom), self._scale_min)
        away = self._before - mean_before
        leverage = np.where(slope > 0, away**2 / spread, 0)
        return mean_now + slope * away, scale * np.sqrt(1 + 1 / pairs + leverage), freedom
