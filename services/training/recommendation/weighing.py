"""Which tables are blended, and what each counts: chosen for touches that the fitted part has not seen.

A component is added at a time, with the weight that lifts NDCG@10 most, and then all weights are tried again a little
higher and lower. Every case ranks the whole catalogue; to try thousands of weights it is cut to a pool, the strongest
items of each component, outside which the first ten of a blend of them hardly ever lie.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from services.training.recommendation.histories import Histories
from services.training.recommendation.plan import Plan, PlannedComponent
from services.training.recommendation.ranking import (
    Cases,
    case_blocks,
    hide_touched,
    history_matrix,
    neighbour_matrix,
    ranks_in,
)
from services.training.recommendation.recommender import Component, Neighbours

LIST_LENGTH = 10
POOL_OF_EACH = 60
"""Strongest items of each component that make up a case's pool."""
COMPONENTS_MAX = 4
GAIN_MIN = 2e-4
"""A component, or a changed weight, that adds less NDCG is not worth having."""
POPULARITY_WEIGHT_MIN = 1e-3
"""Orders what scores alike, and moves nothing else."""

_FIRST_WEIGHTS = (0.1, 0.25, 0.5, 1.0, 2.0)
_FACTORS = (0.0, 0.5, 0.75, 1.3, 2.0)
_SWEEPS = 3

Pooled = npt.NDArray[np.float32]


class Ingredient(NamedTuple):
    """What may go into the blend: a component to be planned, and its table as fitted on the earlier part."""

    planned: PlannedComponent
    neighbours: Neighbours


class Blend(NamedTuple):
    """weights: of each ingredient, then of popularity; ndcg: NDCG@10 on the cases they were chosen for."""

    weights: npt.NDArray[np.float64]
    ndcg: float


def blended(
    ingredients: Sequence[Ingredient],
    popularity: npt.NDArray[np.float32],
    histories: Histories,
    cases: Cases,
    *,
    components_max: int = COMPONENTS_MAX,
) -> Blend:
    """Return the weights that rank the cases best; 0: of no use.

    popularity: shape (segments, items); its weight is never 0, since it is all that ranks for those without history.
    Beside it at most `components_max` ingredients get a weight, and the largest of all weights is 1.
    """
    pooled = _pooled(ingredients, popularity, histories, cases)
    spreads = np.array([max(float(part[np.isfinite(part)].std()), 1e-9) for part in pooled], dtype=np.float32)
    weighing = _weighed(pooled / spreads[:, np.newaxis, np.newaxis], components_max)
    weights = weighing.weights / spreads
    if not weights.any():
        weights[-1] = 1.0
    weights /= weights.max()
    weights[-1] = max(weights[-1], POPULARITY_WEIGHT_MIN)
    return Blend(weights, weighing.ndcg)


def planned(ingredients: Sequence[Ingredient], blend: Blend, *, half_life_seconds: float | None, width: int) -> Plan:
    """Return the plan of a blend, its strongest component first."""
    kept = [
        msgspec.structs.replace(each.planned, weight=float(weight))
        for each, weight in zip(ingredients, blend.weights, strict=False)
        if weight > 0
    ]
    ordered = tuple(sorted(kept, key=lambda component: -component.weight))
    return Plan(ordered, float(blend.weights[-1]), half_life_seconds, width)


def ndcg_alone(ingredient: Ingredient, histories: Histories, cases: Cases) -> float:
    """Return the NDCG@10 of one ingredient, over the whole catalogue."""
    gains = 0.0
    matrix = neighbour_matrix(ingredient.neighbours)
    component = _component(ingredient)
    for at in case_blocks(cases, histories.item_count):
        part = cases.part(at)
        scores = (history_matrix(component, histories, part) @ matrix).toarray()
        hide_touched(scores, histories, part)
        gains += float(_gains(ranks_in(scores, part.targets)).sum())
    return gains / max(len(cases.targets), 1)


def ndcg_of_popularity(popularity: npt.NDArray[np.float32], histories: Histories, cases: Cases) -> float:
    """Return the NDCG@10 of popularity alone, shape (segments, items), over the whole catalogue."""
    gains = 0.0
    for at in case_blocks(cases, histories.item_count):
        part = cases.part(at)
        scores = popularity[part.segments]
        hide_touched(scores, histories, part)
        gains += float(_gains(ranks_in(scores, part.targets)).sum())
    return gains / max(len(cases.targets), 1)


def _component(ingredient: Ingredient) -> Component:
    _, _, decay, length, norm = msgspec.structs.astuple(ingredient.planned)
    return Component("alone", ingredient.neighbours, 1.0, decay, length, norm)


def _gains(ranks: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    return np.where(ranks <= LIST_LENGTH, 1 / np.log2(ranks + 1), 0.0)


def _pooled(
    ingredients: Sequence[Ingredient], popularity: npt.NDArray[np.float32], histories: Histories, cases: Cases
) -> Pooled:
    """Return the scores of each ingredient and of popularity, shape (ingredients + 1, cases, 1 + pool).

    The target stands first; -inf stands for an item twice in the pool.
    """
    matrices = [(_component(each), neighbour_matrix(each.neighbours)) for each in ingredients]
    blocks = []
    for at in case_blocks(cases, histories.item_count):
        part = cases.part(at)
        scores = [(history_matrix(component, histories, part) @ matrix).toarray() for component, matrix in matrices]
        scores.append(popularity[part.segments])
        for each in scores:
            hide_touched(each, histories, part)
        taken = min(POOL_OF_EACH, histories.item_count)
        best = [np.argpartition(-each, taken - 1, axis=1)[:, :taken] for each in scores]
        pool = np.sort(np.concatenate(best, axis=1), axis=1)
        repeated = np.zeros(pool.shape, dtype=np.bool_)
        repeated[:, 1:] = pool[:, 1:] == pool[:, :-1]
        repeated |= pool == part.targets[:, np.newaxis]
        pool = np.concatenate([part.targets[:, np.newaxis], pool], axis=1)
        gone = np.concatenate([np.zeros((len(pool), 1), dtype=np.bool_), repeated], axis=1)
        blocks.append(
            np.stack([np.where(gone, -np.inf, np.take_along_axis(each, pool, axis=1)) for each in scores]).astype(
                np.float32
            )
        )
    return np.concatenate(blocks, axis=1)


class _Weighing:
    """Weights of the pooled scores, shape (ingredients + 1, cases, 1 + pool), that are only changed for the better."""

    def __init__(self, pooled: Pooled) -> None:
        hidden = ~np.isfinite(pooled).all(axis=0)
        self._finite = np.where(hidden, np.float32(0), pooled)
        self._total = np.where(hidden, np.float32(-np.inf), np.float32(0))
        self.weights = np.zeros(len(pooled))
        self.ndcg = 0.0

    def improve(self, steps: Sequence[tuple[int, float]]) -> bool:
        """Take the best of some steps, (of which weight, how far); whether it was worth it."""
        tried = [(self._ndcg(at, step), at, step) for at, step in steps]
        ndcg, at, step = max(tried, default=(0.0, 0, 0.0))
        if ndcg < self.ndcg + GAIN_MIN:
            return False
        self._total = self._total + np.float32(step) * self._finite[at]
        self.weights[at] += step
        self.ndcg = ndcg
        return True

    def _ndcg(self, at: int, step: float) -> float:
        scores = self._total + np.float32(step) * self._finite[at]
        return float(_gains((scores >= scores[:, :1]).sum(axis=1)).mean())


def _weighed(pooled: Pooled, components_max: int) -> _Weighing:
    weighing = _Weighing(pooled)
    popularity = len(pooled) - 1
    is_improving = True
    while is_improving:
        is_full = np.count_nonzero(weighing.weights[:popularity]) >= components_max
        unused = [int(at) for at in np.flatnonzero(weighing.weights == 0) if at == popularity or not is_full]
        sizes = _FIRST_WEIGHTS if weighing.ndcg else (1.0,)
        is_improving = weighing.improve([(at, size) for at in unused for size in sizes])
    for _ in range(_SWEEPS):
        for at in np.flatnonzero(weighing.weights).tolist():
            weighing.improve([(at, weighing.weights[at] * (factor - 1)) for factor in _FACTORS])
    return weighing
