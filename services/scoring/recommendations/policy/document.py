"""A policy for recommendations as a person writes it."""

import math
from collections.abc import Iterator

from msgspec import Struct

from services.scoring.policy.document import Problem
from services.scoring.recommendations.asked import Changes, Condition, Merchandising
from services.scoring.recommendations.experiments import CONTROL, Experiment

_ROUNDING = 1e-9


class RecommendationDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy, with what applies where it says nothing. experiment: the one that runs; one at a time."""

    merchandising: Merchandising = Merchandising()
    experiment: Experiment | None = None


def contradictions(document: RecommendationDocument) -> list[Problem]:
    """Return what is wrong with the document as a whole, beyond the types of its fields."""
    problems = [
        Problem(path, f"`at_least` {condition.at_least} and `at_most` {condition.at_most} leave nothing that meets it")
        for path, condition in _conditions(document)
        # Written so that what is no number fails, too.
        if not (_or(condition.at_least, -math.inf) <= _or(condition.at_most, math.inf))
    ]
    if document.experiment is not None:
        problems += _contradictions_in(document.experiment)
    return problems


def _contradictions_in(experiment: Experiment) -> Iterator[Problem]:
    path = "$.experiment.arms"
    total = sum(arm.share for arm in experiment.arms)
    if total > 1 + _ROUNDING:
        yield Problem(path, f"the shares add up to {total:g}; at most 1 can be given away, the rest is the control")
    names = [arm.name for arm in experiment.arms]
    for at, name in enumerate(names):
        if name == CONTROL:
            yield Problem(f"{path}[{at}].name", f"`{CONTROL}` is what the shoppers in no arm get; choose another name")
        elif names.index(name) < at:
            yield Problem(f"{path}[{at}].name", f"{name} is taken by arms[{names.index(name)}]; name each differently")


def _or(bound: float | None, otherwise: float) -> float:
    return otherwise if bound is None else bound


def _conditions(document: RecommendationDocument) -> Iterator[tuple[str, Condition]]:
    arms = document.experiment.arms if document.experiment is not None else []
    places: list[tuple[str, Merchandising | Changes]] = [("$.merchandising", document.merchandising)]
    places += [(f"$.experiment.arms[{at}].changes", arm.changes) for at, arm in enumerate(arms)]
    for path, rules in places:
        for at, condition in enumerate(rules.filters):
            yield f"{path}.filters[{at}]", condition
        for at, boost in enumerate(rules.boosts):
            yield f"{path}.boosts[{at}].when", boost.when
