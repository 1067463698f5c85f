"""What a look comes to: another line, other thresholds, or a refusal that says what lacks."""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from services.training.candidate import recalibrated
from services.training.estimators.calibrated import Calibration, calibration_of
from services.training.evaluation.policy import Costs, choose_thresholds, cost_of
from services.training.evaluation.scored import Scored
from services.training.recalibration.looks import Look, Window
from services.training.recalibration.proof import line_evidence, log_losses, saving_evidence
from services.training.refusal import RefusedError
from shared.models.manifest import Thresholds

UNCHANGED = Calibration(1.0, 0.0)
_EVIDENCE_TOLD_MAX = 12 * math.log(10)


@dataclass(frozen=True)
class Terms:
    """What counts as better.

    reviews_a_day_max: None where cost alone decides. gain_min: share of the log loss, or of the cost, that must be
    gained surely. error_rate: over all looks at a champion together.
    """

    costs: Costs
    reviews_a_day_max: int | None
    gain_min: float
    error_rate: float


@dataclass(frozen=True)
class Proposal:
    """A line and thresholds that are better, and how surely.

    line: from the champion's log odds to new ones. thresholds: for the new scores. before, after: the payments that
    proved it, with the champion's scores and with the new ones. reason: for people.
    """

    line: Calibration
    thresholds: Thresholds
    before: Scored
    after: Scored
    reason: str


class _Tried(NamedTuple):
    """A line, and by how much its evidence is beyond what is needed."""

    window: Window
    line: Calibration
    surplus: float
    evidence: float


def propose(look: Look, thresholds: Thresholds, terms: Terms) -> Proposal:
    """Return what is surely better than the champion's own line and `thresholds`.

    A champion whose scores are right is recalibrated with a probability of at most half the error rate, over all looks
    together: look k may err with a part 1 / (k (k + 1)) of that, its windows with equal parts. The other half is for
    thresholds. The line that is proved is the one that goes live.

    Raises:
        RefusedError: one_class; not_proven.
    """
    share = terms.error_rate / 2 / (look.number * (look.number + 1))
    needed = math.log(len(look.windows) / share)
    with threadpool_limits(1):  # two numbers are fitted: threads would only wait for each other
        best = max((_tried(window, needed, terms) for window in look.windows), key=lambda tried: tried.surplus)
    if best.surplus >= 0:
        return _with_line(best, thresholds, needed, terms)
    told = f"{_told(best.evidence)} speaks for another line, {_told(needed)} is needed"
    return _with_thresholds(look.windows[-1], thresholds, math.log(1 / share), terms, told)


def moved(scored: Scored, line: Calibration) -> Scored:
    """Return the payments as they score with their log odds moved by `line`."""
    return scored if line == UNCHANGED else replace(scored, scores=recalibrated(scored.scores.astype(np.float64), line))


def _tried(window: Window, needed: float, terms: Terms) -> _Tried:
    line = calibration_of(window.fit.scores, window.fit.frauds)
    evidence = line_evidence(window.fit, window.proof, line, gain_min=terms.gain_min)
    return _Tried(window, line, evidence - needed, evidence)


def _with_line(tried: _Tried, thresholds: Thresholds, needed: float, terms: Terms) -> Proposal:
    before, after = tried.window.proof, moved(tried.window.proof, tried.line)
    fit = moved(tried.window.fit, tried.line)
    chosen = choose_thresholds(fit, terms.costs, reviews_a_day_max=terms.reviews_a_day_max)
    evidence = saving_evidence(
        after, lambda paid: cost_of(paid, thresholds, terms.costs) - cost_of(paid, chosen, terms.costs)
    )
    if terms.reviews_a_day_max is not None:
        taken, told = chosen, "thresholds that fill the reviews of a day"
    elif evidence >= needed:
        taken, told = chosen, f"thresholds that are surely cheaper ({_told(evidence)})"
    else:
        # Probabilities that are right need no other thresholds: what a probability is worth has not changed.
        taken, told = thresholds, "the same thresholds"
    old, new = log_losses(before).sum(), log_losses(before, tried.line).sum()
    reason = (
        f"log odds times {tried.line.slope:.3f} plus {tried.line.intercept:+.3f}, fitted on {_payments(fit)}, with "
        f"{told}: on {_payments(before)} after those it lowers log loss by {1 - new / old:.1%}, "
        f"{_told(tried.evidence)} speaks for it, {_told(needed)} is needed"
    )
    return Proposal(tried.line, taken, before, after, reason)


def _with_thresholds(window: Window, thresholds: Thresholds, needed: float, terms: Terms, line_told: str) -> Proposal:
    chosen = choose_thresholds(window.fit, terms.costs, reviews_a_day_max=terms.reviews_a_day_max)
    kept = 1 - terms.gain_min
    evidence = saving_evidence(
        window.proof, lambda paid: kept * cost_of(paid, thresholds, terms.costs) - cost_of(paid, chosen, terms.costs)
    )
    if evidence < needed:
        raise RefusedError(
            "not_proven",
            f"on {_payments(window.proof)}, {line_told}; {_told(evidence)} speaks for other thresholds, "
            f"{_told(needed)} is needed",
        )
    old, new = (cost_of(window.proof, levels, terms.costs) for levels in (thresholds, chosen))
    reason = (
        f"the same line with other thresholds, chosen on {_payments(window.fit)}: on {_payments(window.proof)} after "
        f"those they save {1 - new.sum() / old.sum():.1%} of the cost, {_told(evidence)} speaks for it, "
        f"{_told(needed)} is needed; as for the line, {line_told}"
    )
    return Proposal(UNCHANGED, chosen, window.proof, window.proof, reason)


def _payments(scored: Scored) -> str:
    return f"{len(scored.frauds):,} payments ({int(scored.frauds.sum())} frauds)"


def _told(evidence: float) -> str:
    """Return evidence as odds."""
    if evidence > _EVIDENCE_TOLD_MAX:
        return "evidence of more than 1e+12 to 1"
    return f"evidence of {math.exp(evidence):,.3g} to 1"
