"""How surely fresh labels speak for another line, or for other thresholds: evidence that bounds its own error.

Evidence is the logarithm of an e-value: were nothing to be gained, a value of log(1 / a) or more would be reached with
a probability of at most a, however few the frauds are and whatever the scores are distributed like (Vovk and Wang,
"E-values: Calibration, combination and applications", Annals of Statistics, 2021).
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.special import logit, logsumexp

from services.training.estimators.calibrated import PROBABILITY_MAX, PROBABILITY_MIN, Calibration
from services.training.evaluation.bootstrap import card_places
from services.training.evaluation.scored import Scored

_STAKES = np.array([0.9, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01])
"""How much is bet on a saving, of what the worst card could lose; evidence is the mean over all of these."""

Floats = npt.NDArray[np.float64]


def log_losses(scored: Scored, line: Calibration | None = None) -> Floats:
    """Return the log loss of each payment's score, moved by `line` where one is given: shape (n,), nats."""
    log_odds = _log_odds(scored.scores)
    if line is not None:
        log_odds = line.slope * log_odds + line.intercept
    losses: Floats = np.logaddexp(0, np.where(scored.frauds == 1, -log_odds, log_odds))
    return losses


def dispersion(scored: Scored, line: Calibration) -> float:
    """Return by what factor frauds vary more from card to card than if payments were independent; at least 1.

    line: turns the scores into what is taken for the probabilities of fraud. Pearson's statistic over cards (McCullagh
    and Nelder, "Generalized Linear Models", 1989, section 4.5).
    """
    probabilities = 1 / (1 + np.exp(-(line.slope * _log_odds(scored.scores) + line.intercept)))
    places, _ = card_places(scored.cards)
    excess = np.bincount(places, weights=scored.frauds - probabilities)
    return max(1.0, float(excess @ excess / (probabilities @ (1 - probabilities))))


def line_evidence(fit: Scored, proof: Scored, line: Calibration, *, gain_min: float) -> float:
    """Return the evidence of `proof` that `line`, which was fitted on `fit`, lowers log loss by `gain_min` or more.

    gain_min: share of the log loss. The null hypothesis is that the scores are the probabilities of fraud; the ratio of
    the two likelihoods is an e-value then, since `line` was not fitted on these payments (Wasserman, Ramdas and
    Balakrishnan, "Universal inference", PNAS, 2020). Payments of a card are alike: the logarithm is divided by how much
    more frauds vary for it.
    """
    gained = (1 - gain_min) * log_losses(proof).sum() - log_losses(proof, line).sum()
    return float(gained) / dispersion(fit, line)


def saving_evidence(proof: Scored, save: Callable[[Scored], Floats]) -> float:
    """Return the evidence of `proof` that a change of decisions saves money.

    save: returns what the change saves on each payment, shape (n,), whatever it turned out to be. The null hypothesis
    is that on these very payments nothing is to be saved on average; cards are independent of each other. A bet on
    the saving of each card, with a stake that its worst case cannot lose, is an e-value (Waudby-Smith and Ramdas,
    "Estimating means of bounded random variables by betting", JRSS B, 2024). So a saving that is only seen because a
    rare, dear fraud has not yet come is not taken for sure.
    """
    places, _ = card_places(proof.cards)
    either = [save(replace(proof, frauds=np.full_like(proof.frauds, label))) for label in (0, 1)]
    worst = -float(np.bincount(places, weights=np.minimum(*either)).min())
    by_card = np.bincount(places, weights=save(proof))
    if worst <= 0:
        return math.inf if by_card.sum() > 0 else 0.0
    won = np.log1p(np.outer(_STAKES / worst, by_card)).sum(axis=1)
    return float(logsumexp(won)) - math.log(len(_STAKES))


def _log_odds(scores: npt.NDArray[np.float32]) -> Floats:
    log_odds: Floats = logit(np.clip(scores.astype(np.float64), PROBABILITY_MIN, PROBABILITY_MAX))
    return log_odds
