"""The places that the bandit filled, as rows: what it could have shown, with which odds, and whether it was clicked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from services.training.recommendation.off_policy import (
    Estimate,
    Logged,
    Values,
    doubly_robust,
    inverse_propensity,
    self_normalised,
)

CONTEXT_FOLDS = 2
CLICKS_MIN = 10
"""With fewer clicks the reward's model is their share."""


@dataclass(frozen=True)
class Explored:
    """One place of one impression.

    recent: items of the history, the latest first. pool: what could have stood there; the model's choice is first.
    contexts: shape (pool, width). propensities: shape (pool,). chosen: which of `pool` was shown.
    """

    user_id: str
    recent: tuple[str, ...]
    pool: tuple[str, ...]
    contexts: Values
    propensities: Values
    chosen: int
    clicked: bool


class Judged(NamedTuple):
    """A policy on the explored places: its odds of what was shown, and the reward's model under it, shape (n,) each."""

    logged: Logged
    predicted: Values
    expected: Values


class Estimates(NamedTuple):
    """What one recommender would have earned: clicks a place, by each estimate."""

    inverse_propensity: Estimate
    self_normalised: Estimate
    doubly_robust: Estimate


def judged(explored: Sequence[Explored], choices: Sequence[Values]) -> Judged:
    """Return what the estimates need.

    choices: for each place, the odds with which the judged policy fills it from its pool, shape (pool,), summing to 1.
    """
    shoppers = np.unique([each.user_id for each in explored], return_inverse=True)[1].astype(np.int64)
    rewards = np.array([each.clicked for each in explored], dtype=np.float64)
    rates = _click_rates(explored, rewards, shoppers)
    at = [each.chosen for each in explored]
    return Judged(
        Logged(
            np.array([each.propensities[chosen] for each, chosen in zip(explored, at, strict=True)]),
            np.array([odds[chosen] for odds, chosen in zip(choices, at, strict=True)]),
            rewards,
            shoppers,
        ),
        np.array([rate[chosen] for rate, chosen in zip(rates, at, strict=True)]),
        np.array([float(odds @ rate) for odds, rate in zip(choices, rates, strict=True)]),
    )


def estimates(of: Judged) -> Estimates:
    """Return every estimate of one policy."""
    return Estimates(
        inverse_propensity(of.logged),
        self_normalised(of.logged),
        doubly_robust(of.logged, of.predicted, of.expected),
    )


def _click_rates(explored: Sequence[Explored], rewards: Values, shoppers: npt.NDArray[np.int64]) -> list[Values]:
    """Return what a model expects of each of a pool, learned from other shoppers than the place's own."""
    shown = np.stack([each.contexts[each.chosen] for each in explored])
    folds = shoppers % CONTEXT_FOLDS
    rates: list[Values] = [np.empty(0)] * len(explored)
    for fold in range(CONTEXT_FOLDS):
        rate_of = _fitted(shown[folds != fold], rewards[folds != fold])
        for place in np.flatnonzero(folds == fold).tolist():
            rates[place] = rate_of(explored[place].contexts)
    return rates


class _Constant(NamedTuple):
    rate: float

    def __call__(self, contexts: Values) -> Values:
        return np.full(len(contexts), self.rate)


class _Logistic(NamedTuple):
    scaler: StandardScaler
    model: LogisticRegression

    def __call__(self, contexts: Values) -> Values:
        return np.asarray(self.model.predict_proba(self.scaler.transform(contexts))[:, 1], dtype=np.float64)


def _fitted(contexts: Values, rewards: Values) -> _Constant | _Logistic:
    clicks = rewards.sum()
    if min(clicks, len(rewards) - clicks) < CLICKS_MIN:
        return _Constant(float(rewards.mean()) if len(rewards) else 0.0)
    scaler = StandardScaler().fit(contexts)
    return _Logistic(scaler, LogisticRegression(max_iter=1_000).fit(scaler.transform(contexts), rewards))
