"""What another policy would have earned, from what a randomised one showed and what came of it.

Inverse propensity scoring (Horvitz and Thompson 1952), its self-normalised form (Swaminathan and Joachims 2015) and
the doubly robust estimate (Dudik, Langford and Li 2011). An estimate is a mean of terms that are alike within a
shopper, so its interval takes each shopper's terms together: the estimate, and Student's t at one degree of freedom
less than there are shoppers, times the deviation of the shoppers' sums (for the ratio: of its linearisation).
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

COVERAGE = 0.95

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Logged:
    """Choices of a logging policy, one a row, all of shape (n,), and what the policy that is judged thinks of them.

    propensities: with which probability what was shown was shown; above 0. target_probabilities: the same under the
    policy that is judged. rewards: what came of it. shoppers: numbers that tell them apart.
    """

    propensities: Values
    target_probabilities: Values
    rewards: Values
    shoppers: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse what cannot be weighed.

        Raises:
            ValueError: there are no choices, or a propensity is not above 0.
        """
        if not len(self.propensities):
            raise ValueError("there are no choices to judge from; show some with exploration first")
        if not (self.propensities > 0).all():
            raise ValueError("a choice with propensity 0 cannot have been shown; leave it out")

    @property
    def weights(self) -> Values:
        """By how much the judged policy would have shown each more often, shape (n,)."""
        return np.asarray(self.target_probabilities / self.propensities, dtype=np.float64)


class Estimate(NamedTuple):
    """A mean reward with the ends of its 95 % interval.

    influence: what each choice adds to the error, shape (n,), mean 0: estimates on the same rows can be compared.
    effective: how many rows of the judged policy's own the rows are worth (Kish 1965).
    """

    value: float
    low: float
    high: float
    influence: Values
    effective: float


def inverse_propensity(logged: Logged) -> Estimate:
    """Return the unbiased estimate; its interval is wide where the policies differ."""
    terms = logged.weights * logged.rewards
    return _estimate(float(terms.mean()), terms - terms.mean(), logged)


def self_normalised(logged: Logged) -> Estimate:
    """Return the estimate that divides by the weights' own sum: a little biased, far less variable.

    Raises:
        ValueError: the judged policy would have shown nothing of what was shown.
    """
    weights = logged.weights
    if weights.sum() == 0:
        raise ValueError("the judged policy would have shown nothing of what was shown; more exploration is needed")
    value = float((weights * logged.rewards).sum() / weights.sum())
    return _estimate(value, weights * (logged.rewards - value) / weights.mean(), logged)


def doubly_robust(logged: Logged, predicted: Values, expected: Values) -> Estimate:
    """Return the estimate that a model of the reward steadies; right if either the model or the propensities are.

    predicted: what the model says of the choice that was shown, shape (n,). expected: its mean over what the judged
    policy would show, shape (n,). The model must not have seen the row it is asked about.
    """
    terms = expected + logged.weights * (logged.rewards - predicted)
    return _estimate(float(terms.mean()), terms - terms.mean(), logged)


def difference(one: Estimate, other: Estimate, shoppers: npt.NDArray[np.int64]) -> tuple[float, float, float]:
    """Return by how much `one` earns more than `other`, and the ends of the 95 % interval; both from the same rows."""
    value = one.value - other.value
    margin = _margin(one.influence - other.influence, shoppers)
    return value, value - margin, value + margin


def _estimate(value: float, influence: Values, logged: Logged) -> Estimate:
    margin = _margin(influence, logged.shoppers)
    squares = float((logged.weights**2).sum())
    effective = float(logged.weights.sum()) ** 2 / squares if squares else 0.0
    return Estimate(value, value - margin, value + margin, influence, effective)


def _margin(influence: Values, shoppers: npt.NDArray[np.int64]) -> float:
    """Return half the width of the interval; infinite where one shopper is all there is."""
    sums = np.bincount(np.unique(shoppers, return_inverse=True)[1], weights=influence)
    count = len(sums)
    if count < 2:
        return float("inf")
    deviation = np.sqrt(count / (count - 1) * (sums**2).sum()) / len(influence)
    return float(stats.t.ppf((1 + COVERAGE) / 2, count - 1) * deviation)
