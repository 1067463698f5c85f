"""The plan for a shop's own data: what would have foretold the last part of it, learned from what came before."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.training.recommendation.fitting import Vocabulary, fitted
from services.training.recommendation.histories import Histories
from services.training.recommendation.plan import (
    Ease,
    Factors,
    NearestNeighbours,
    NextItem,
    Plan,
    PlannedComponent,
    Table,
    Traits,
    Transitions,
)
from services.training.recommendation.popularity import popularity
from services.training.recommendation.ranking import Cases, touches_since
from services.training.recommendation.weighing import (
    COMPONENTS_MAX,
    Ingredient,
    blended,
    ndcg_alone,
    ndcg_of_popularity,
    planned,
)

HELD_OUT = 0.1
"""The last part of the interactions, by time, that weights are learned on."""
CASES_MAX = 4_000
_SCORES_MAX = 2**27
WIDTH = 100
ITEMS_MAX = 5_000
"""Items that closed forms take in: their cost grows with the cube."""
HALF_LIVES_DAYS = (None, 30.0, 7.0, 1.0)
_DAY_SECONDS = 86_400.0


class HeldOut(NamedTuple):
    """What plans are compared on. earlier: what tables are fitted on. histories: what the cases' places point into."""

    earlier: Histories
    histories: Histories
    cases: Cases


class Alternatives(NamedTuple):
    """Tables that stand for the same thing, of which the best alone is taken, and how histories are weighed for it."""

    tables: tuple[Table, ...]
    shapes: tuple[tuple[float, int, float], ...]
    """Decay, length and norm, as in `Component`; each may go into the blend."""


def _next_item(decay: float) -> Alternatives:
    tables = tuple(
        NextItem(decay=decay, l2=l2, items_max=ITEMS_MAX, skip=skip)
        for l2, skip in ((0.5, 0), (0.5, 1), (2.0, 0), (2.0, 1))
    )
    return Alternatives(tables, ((decay, 50, 0.0),))


ALTERNATIVES = (
    Alternatives(
        tuple(Transitions(decay, backward, 0.3, 0.2) for decay, backward in ((0.8, 0.6), (0.8, 0.2), (0.5, 0.6))),
        ((0.5, 50, 0.0), (0.8, 50, 0.0)),
    ),
    _next_item(0.9),
    _next_item(0.7),
    _next_item(0.97),
    Alternatives(tuple(Ease(l2, ITEMS_MAX) for l2 in (1.0, 0.3)), ((1.0, 200, 0.0), (0.95, 50, 0.5))),
    Alternatives(tuple(NearestNeighbours(shrinkage) for shrinkage in (10.0, 1.0)), ((0.8, 50, 0.0), (0.95, 50, 0.5))),
    Alternatives((Factors(size=32, l2=1.0, confidence=5.0),), ((0.9, 50, 0.0),)),
)
TRAITS = Alternatives((Traits(interactions_max=5),), ((0.9, 50, 0.0),))
TRAITS_WEIGHT_MIN = 0.02
"""New items are rare among what is held out, and must be found all the same; beside weights whose largest is 1."""


def learned(
    histories: Histories,
    vocabulary: Vocabulary,
    *,
    seconds_max: float,
    monotonic_seconds: Callable[[], float],
    seed: int = 0,
    components_max: int = COMPONENTS_MAX,
) -> Plan:
    """Return the plan that foretells the last tenth of the interactions best, fitted on those before.

    After `seconds_max` no further table is fitted; with time enough the plan depends on data and seed alone.

    Raises:
        ValueError: nothing is held out, since all interactions are of one time.
    """
    cut = int(np.quantile(histories.times, 1 - HELD_OUT)) if len(histories.times) else 0
    earlier = histories.before(cut)
    cases = touches_since(
        histories, cut, cases_max=min(CASES_MAX, _SCORES_MAX // max(histories.item_count, 1)), seed=seed
    )
    if not len(earlier.items) or not len(cases.targets):
        raise ValueError(
            f"{len(histories.items)} interactions, of which {len(earlier.items)} come before the last tenth: "
            "too few to learn a blend from; wait for more"
        )
    deadline = monotonic_seconds() + seconds_max
    return chosen(
        HeldOut(earlier, histories, cases),
        vocabulary,
        ALTERNATIVES,
        is_late=lambda: monotonic_seconds() > deadline,
        components_max=components_max,
    )


def chosen(
    held_out: HeldOut,
    vocabulary: Vocabulary,
    alternatives: Sequence[Alternatives],
    *,
    is_late: Callable[[], bool] = lambda: False,
    components_max: int = COMPONENTS_MAX,
) -> Plan:
    """Return the plan that foretells the cases best.

    is_late: whether to fit no further table; the first of all, and that of traits, are always fitted.
    """
    has_traits = any(len(own) for own in vocabulary.traits)
    given = [*([TRAITS] if has_traits else []), *alternatives]
    ingredients = _best_of_each(given, held_out, vocabulary, is_late, always=1 + has_traits)
    half_life_seconds, shown = _best_popularity(held_out, 1 + len(vocabulary.segments))
    blend = blended(ingredients, shown, held_out.histories, held_out.cases, components_max=components_max)
    for at, ingredient in enumerate(ingredients):
        if isinstance(ingredient.planned.table, Traits):
            blend.weights[at] = max(blend.weights[at], TRAITS_WEIGHT_MIN)
    return planned(ingredients, blend, half_life_seconds=half_life_seconds, width=WIDTH)


def _best_of_each(
    alternatives: Sequence[Alternatives],
    held_out: HeldOut,
    vocabulary: Vocabulary,
    is_late: Callable[[], bool],
    *,
    always: int,
) -> list[Ingredient]:
    """Return of each the table that alone foretells the cases best, once with each shape.

    The first tables of all come before the second of any, so that what time is there goes into variety first; `always`
    tables are fitted however late it is.
    """
    best: dict[int, tuple[float, list[Ingredient]]] = {}
    for depth in range(max(len(each.tables) for each in alternatives)):
        for number, each in enumerate(alternatives):
            if depth >= len(each.tables) or (len(best) >= always and is_late()):
                continue
            neighbours = fitted(held_out.earlier, each.tables[depth], width=WIDTH, traits=vocabulary.traits)
            planned_ones = [PlannedComponent(each.tables[depth], 0.0, *shape) for shape in each.shapes]
            shaped = [Ingredient(one, neighbours) for one in planned_ones]
            ndcg = 0.0
            if len(each.tables) > 1:
                ndcg = max(ndcg_alone(one, held_out.histories, held_out.cases) for one in shaped)
            if number not in best or ndcg > best[number][0]:
                best[number] = ndcg, shaped
    return [ingredient for number in sorted(best) for ingredient in best[number][1]]


def _best_popularity(held_out: HeldOut, segment_count: int) -> tuple[float | None, npt.NDArray[np.float32]]:
    """Return the half-life with which popularity alone foretells the cases best, and that popularity."""
    span_seconds = float(np.ptp(held_out.earlier.times)) / 1e6
    half_lives = [days and days * _DAY_SECONDS for days in HALF_LIVES_DAYS]
    tried = [
        (half_life, popularity(held_out.earlier, segment_count, half_life_seconds=half_life))
        for half_life in half_lives
        if half_life is None or half_life < span_seconds
    ]
    return max(tried, key=lambda each: ndcg_of_popularity(each[1], held_out.histories, held_out.cases))
