"""Which recipe a run follows: the best that a search finds, or the champion's, carried on."""

import logging
from collections.abc import Callable
from typing import NamedTuple

from services.training.candidate import held_out_periods, search_folds
from services.training.data.dataset import TrainingSet
from services.training.estimators.families import FAMILIES, Spec
from services.training.gates.promotion import new_to
from services.training.recipe import Recipe, from_champion, from_scratch, segment_of, with_specialist
from services.training.refusal import RefusedError
from services.training.search.search import Found, Progress, SearchPlan, search
from services.training.search.steps import Steps
from services.training.settings import TrainingSettings
from services.training.verdict import Champion
from shared.runtime.clock import Clock

log = logging.getLogger(__name__)


class Choice(NamedTuple):
    """data: what the recipe is followed on. found: what was tried; no trials where nothing was searched."""

    data: TrainingSet
    recipe: Recipe
    found: Found


def chosen(
    data: TrainingSet,
    champion: Champion,
    settings: TrainingSettings,
    steps: Steps,
    clock: Clock,
    show: Callable[[Progress], None],
) -> Choice:
    """Return the recipe that the settings ask for.

    Raises:
        RefusedError: the settings name what there is not, there is no champion to carry on, or every candidate failed.
    """
    if settings.headrace_training_start == "champion":
        choice = _carried_on(data, champion, settings, steps)
    else:
        found = _searched(data, champion, settings, steps, clock, show)
        choice = Choice(data, from_scratch(found.best, settings), found)
    if settings.headrace_training_segment is None:
        return choice
    segment = segment_of(settings.headrace_training_segment, data.feature_set)
    return choice._replace(recipe=with_specialist(choice.recipe, segment))


def _carried_on(data: TrainingSet, champion: Champion, settings: TrainingSettings, steps: Steps) -> Choice:
    if champion.model is None:
        raise RefusedError(
            "no_champion", f"there is nothing to carry on ({champion.absence}); set HEADRACE_TRAINING_START=scratch"
        )
    recipe = from_champion(champion.model.manifest, settings, steps)
    new = data.part(new_to(champion.model.manifest, data))
    if len(new.frauds) < settings.headrace_training_rows_min:
        raise RefusedError(
            "too_few_rows",
            f"{len(new.frauds)} payments have matured since the champion was trained, "
            f"{settings.headrace_training_rows_min} are needed to carry it on; wait for more",
        )
    return Choice(new, recipe, Found(recipe.spec, ()))


def _searched(
    data: TrainingSet,
    champion: Champion,
    settings: TrainingSettings,
    steps: Steps,
    clock: Clock,
    show: Callable[[Progress], None],
) -> Found:
    """Choose on payments before those that the winner is measured on."""
    families = tuple(name.strip() for name in settings.headrace_training_families.split(",") if name.strip())
    unknown = [name for name in families if name not in FAMILIES]
    if unknown or not families:
        raise RefusedError(
            "unknown_family",
            f"HEADRACE_TRAINING_FAMILIES names {', '.join(unknown) or 'nothing'}; there are {', '.join(FAMILIES)}",
        )
    plan = SearchPlan(
        families=families,
        seconds=settings.headrace_training_search_seconds,
        candidates_max=settings.headrace_training_candidates_max,
        jobs=settings.headrace_training_jobs,
        backend=settings.headrace_training_backend,
        start=_like(champion),
    )
    first = (*plan.start, Spec(families[0]))[0]
    if plan.seconds == 0 or plan.candidates_max == 1:
        return Found(first, ())
    folds = search_folds(data, settings)
    if not folds:
        log.warning("the history is too short, or holds too few frauds, to choose between candidates on")
        return Found(first, ())
    earlier = data.part(held_out_periods(data, settings)[0].train)
    return search(earlier, folds, plan, steps=steps, clock=clock, show=show)


def _like(champion: Champion) -> tuple[Spec, ...]:
    """Return how the champion was made, where that is a kind of model that is still known."""
    if champion.model is None or champion.model.manifest.family not in FAMILIES:
        return ()
    manifest = champion.model.manifest
    return (Spec(manifest.family, manifest.parameters),)
