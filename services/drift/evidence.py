"""Evidence against "all is as it was", counted in days: one currency for all watches, so that one budget holds them.

Each watch bets against its null hypothesis: what it sees multiplies its stake by an e-value, a number whose mean is
at most 1 while all is well. A new stake of one unit is placed for every day of event time, so the sum of what all
stakes have become is on average no more than the days that have passed. It reaches A while all is well no sooner than
after A days on average (the e-detector of Shin, Ramdas and Rinaldo, "E-detectors: a nonparametric framework for
sequential change detection", 2024, in the form of Shiryaev and Roberts). A weighted mean of such sums is one again,
however its watches depend on each other: that is the correction for many watches and many looks.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp

Floats = npt.NDArray[np.float64]

YEAR_DAYS = 365.25
QUARTER_DAYS = YEAR_DAYS / 4
_YEARS_MAX = 1_000
_P_MIN, _P_MAX = 1e-300, 1 - 1e-4
"""Beyond these the formula is out of the reach of a double; nearer to 1 its value stays at about a half."""


@dataclass(frozen=True)
class Budget:
    """How many false alarms a quarter of event time are acceptable, over everything watched about one model."""

    alarms_a_quarter: float

    def threshold_days(self, share: float) -> float:
        """Return the evidence, in days, at which a family of watches with `share` of the budget raises an alarm."""
        return QUARTER_DAYS / (self.alarms_a_quarter * share)


class Evidence:
    """What the stakes of several watches have become.

    Observations come in order of their time as far as it matters to anybody: `since` takes it from them.
    """

    def __init__(self, weights: Floats) -> None:
        """Start without a stake; weights: of each watch, positive, summing to 1."""
        self._log_weights = np.log(weights)
        self._log_days = np.full(len(weights), -np.inf)
        self._log_path = np.zeros(len(weights))
        self._log_lowest = np.zeros(len(weights))
        self._lowest_seconds = np.full(len(weights), np.nan)

    def stake(self, days: float) -> None:
        """Place new stakes, for so many days of event time that have passed since the last."""
        self._log_days = np.logaddexp(self._log_days, np.log(days))

    def observe(self, log_e: Floats, at: datetime) -> None:
        """Multiply the stakes. log_e: shape (watches,), of the e-values; 0 for a watch that has seen nothing."""
        seconds = at.timestamp()
        self._lowest_seconds = np.where(np.isnan(self._lowest_seconds), seconds, self._lowest_seconds)
        self._log_days += log_e
        self._log_path += log_e
        is_lowest = (self._log_path <= self._log_lowest) & (log_e != 0)
        self._log_lowest = np.where(is_lowest, self._log_path, self._log_lowest)
        self._lowest_seconds = np.where(is_lowest, seconds, self._lowest_seconds)

    @property
    def days(self) -> float:
        """What all stakes have become, weighed: compare it with Budget.threshold_days."""
        return float(np.exp(min(logsumexp(self._log_weights + self._log_days), 700.0)))

    @property
    def weighted_days(self) -> Floats:
        """Each watch's part of `days`, shape (watches,)."""
        parts: Floats = np.exp(np.minimum(self._log_weights + self._log_days, 700.0))
        return parts

    def since(self, watch: int) -> datetime | None:
        """Return when what `watch` has seen began to speak against its hypothesis; None before it has seen anything."""
        seconds = self._lowest_seconds[watch]
        return None if np.isnan(seconds) else datetime.fromtimestamp(float(seconds), UTC)

    def reset(self) -> None:
        """Forget everything, as after an alarm that was acted upon."""
        self.__init__(np.exp(self._log_weights))  # type: ignore[misc] # the weights are all that stays


def log_e_of_p(p: Floats) -> Floats:
    """Return the logarithm of the e-value that p-values are worth, shape as `p`.

    The mean of k p^(k - 1) over k from 0 to 1 (Vovk and Wang, "E-values: calibration, combination and applications",
    Annals of Statistics 2021): (1 - p + p ln p) / (p (ln p)^2).
    """
    clipped = np.clip(p, _P_MIN, _P_MAX)
    logs = np.log(clipped)
    values: Floats = np.log1p(-clipped + clipped * logs) - logs - 2 * np.log(-logs)
    return values


def log_e_of_mean(observed: float, expected: float, alternatives: Floats) -> Floats:
    """Return the logarithms of the e-values against "the mean of observations in [0, 1] has not moved that way".

    Bets on a bounded mean (Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", 2024);
    for an observation of 0 or 1 each is the likelihood ratio of its alternative to `expected`. With alternatives all
    below `expected` the hypothesis is "the mean is at least `expected`", with all above it "at most".

    expected: in (0, 1). alternatives: shape (bets,), in (0, 1).
    """
    stakes = (alternatives - expected) / (expected * (1 - expected))
    values: Floats = np.log1p(stakes * (observed - expected))
    return values


def by_chance(evidence_days: float) -> str:
    """Tell how often so much evidence comes up by chance, while all is well."""
    years = evidence_days / YEAR_DAYS
    if evidence_days < 1:
        return "every day"
    if years < 1:
        return f"once in {evidence_days:.0f} {'day' if round(evidence_days) == 1 else 'days'}"
    if years > _YEARS_MAX:
        return f"once in more than {_YEARS_MAX:,} years"
    return f"once in {years:.1f} years"
