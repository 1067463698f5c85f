"""What people read of a run: everything for its report and its model card, gathered."""

import numpy as np

from services.training.candidate import Candidate
from services.training.choice import Choice
from services.training.evaluation.curves import Drawn
from services.training.evaluation.importance import permutation_importances
from services.training.evaluation.periods import periods_of
from services.training.evaluation.policy import Costs
from services.training.evaluation.report_input import Incumbent, ReportInput
from services.training.evaluation.scored import Scored
from services.training.evaluation.segments import segments
from services.training.gates.promotion import new_to
from services.training.measured import Inspected, Measured
from services.training.verdict import Champion, Verdict
from shared.models.session import OnnxModel

IMPORTANCE_ROWS_MAX = 2_000
"""Payments that importances are measured on: each is scored three times a feature."""


def report_input(  # noqa: PLR0913 - one parameter a stage
    inspected: Inspected,
    choice: Choice,
    measured: Measured,
    model: OnnxModel,
    champion: Champion,
    verdict: Verdict,
    *,
    costs: Costs,
    export_difference: float,
    label_delay_days: float,
) -> ReportInput:
    """Return everything that a report tells of `model`, which is `measured.candidate` exported."""
    scored, candidate = measured.scored, measured.candidate
    feature_set = choice.data.feature_set
    taken = _telling(candidate)
    incumbent = _incumbent(champion, scored, measured)
    begins = [int(scored.times[candidate.periods == period].min()) for period in np.unique(candidate.periods)]
    return ReportInput(
        manifest=model.manifest,
        promoted=verdict.promoted,
        reason=verdict.reason,
        test=verdict.test,
        rails=verdict.rails,
        scored=scored,
        evaluation=measured.evaluation,
        costs=costs,
        segments=segments(scored, feature_set, measured.thresholds.review),
        quality=inspected.quality,
        checks=inspected.checks,
        trials=choice.found.trials,
        reused=candidate.reused,
        champion=incumbent,
        periods=periods_of(_drawn(model, scored, incumbent), begins),
        importances=permutation_importances(
            model.scores, candidate.held_out.rows[taken], candidate.held_out.frauds[taken], feature_set.feature_names
        ),
        export_difference=export_difference,
        label_delay_days=label_delay_days,
    )


def _drawn(model: OnnxModel, scored: Scored, incumbent: Incumbent | None) -> list[Drawn]:
    drawn = [Drawn(f"version {model.manifest.model_version}", scored)]
    if incumbent is not None:
        drawn.append(Drawn(f"version {incumbent.manifest.model_version} (champion)", incumbent.scored))
    return drawn


def _incumbent(champion: Champion, scored: Scored, measured: Measured) -> Incumbent | None:
    if champion.model is None:
        return None
    newer = new_to(champion.model.manifest, measured.candidate.held_out)
    if not newer.any():
        return None
    held_out = measured.candidate.held_out.part(newer)
    scores = champion.model.scores(held_out.rows)
    part = scored.part(newer)
    return Incumbent(
        champion.model.manifest, Scored(part.frauds, scores, part.cards, part.times, part.amounts, part.rows)
    )


def _telling(candidate: Candidate) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Return the places of held-out payments, spread evenly; a fraud at least is among them."""
    count = len(candidate.held_out.frauds)
    spread = np.linspace(0, count - 1, min(IMPORTANCE_ROWS_MAX, count)).astype(np.intp)
    return np.union1d(spread, np.flatnonzero(candidate.held_out.frauds == 1)[:1])
