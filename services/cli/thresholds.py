"""A policy's aim (costs, reviews a day) to the thresholds that reach it on payments of the past."""

from datetime import timedelta
from pathlib import Path

import msgspec
import yaml
from msgspec.structs import replace

from services.scoring.policy.document import CostMatrix, PolicyError, Problem, Resolution, ThresholdChoice
from services.scoring.policy.policy import document_of
from services.training.evaluation.policy import Costs, choose_thresholds
from services.training.judged import JudgedPayments
from services.training.model_log import History
from services.training.refusal import RefusedError
from services.training.settings import TrainingSettings
from shared.features.catalog.fraud import FRAUD
from shared.models.manifest import MODEL_NAME


def with_numbers(text: str, history: History, home: Path, *, days: int) -> str:
    """Return a policy's text with a section that gives its thresholds as numbers, and how they came about.

    They are found on the newest `days` of archived decisions of the version in force whose labels are known.

    Raises:
        PolicyError: no section can be added to this text.
        RefusedError: no model is in force, or there is too little to go by.
    """
    document = document_of(text)
    if document.thresholds is None or document.is_resolved:
        return text
    resolution = _resolution(document.thresholds, history, home, days)
    section = msgspec.to_builtins(resolution, builtin_types=(type(resolution.since),))
    longer = f"{text.rstrip()}\n\n{yaml.safe_dump({'resolved': section}, sort_keys=False)}"
    told = "to add the numbers found, the policy must be written as lines of `name: value`, not within { }"
    try:
        fits = document_of(longer) == replace(document, resolved=resolution)
    except PolicyError as error:
        raise PolicyError([Problem("$", told)], told) from error
    if not fits:
        raise PolicyError([Problem("$", told)], told)
    return longer


def _resolution(choice: ThresholdChoice, history: History, home: Path, days: int) -> Resolution:
    champion = history.champion(MODEL_NAME)
    if champion is None:
        raise RefusedError(
            "no_model", "no model is in force, whose scores would tell; give `review` and `decline` as numbers"
        )
    settings = TrainingSettings(headrace_home=home)
    past = JudgedPayments(home, FRAUD)
    label_delay = timedelta(days=settings.headrace_training_label_delay_days)
    period = past.matured(days=days, label_delay=label_delay)
    scored = past.scored(period, model_version=champion.model_version)
    costs = choice.costs or _configured(settings)
    found = choose_thresholds(scored, Costs(**msgspec.to_builtins(costs)), reviews_a_day_max=choice.reviews_a_day)
    return Resolution(
        review=found.review,
        decline=found.decline,
        costs=costs,
        model_version=champion.model_version,
        since=period.since,
        until=period.until,
        payments=len(scored.frauds),
        frauds=int(scored.frauds.sum()),
    )


def _configured(settings: TrainingSettings) -> CostMatrix:
    """Return the costs that training chooses thresholds by."""
    return CostMatrix(
        review_minor_units=settings.headrace_training_review_cost_minor_units,
        chargeback_minor_units=settings.headrace_training_chargeback_cost_minor_units,
        declined_genuine_minor_units=settings.headrace_training_declined_cost_minor_units,
        declined_genuine_share=settings.headrace_training_declined_cost_share,
    )
