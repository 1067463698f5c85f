"""Candidates to a list: boosts, at most so many of a category, diversity, one explored place; in this order."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from msgspec import UNSET
from msgspec.structs import replace

from services.scoring.recommendations.asked import Boost, Changes, Merchandising
from services.scoring.recommendations.conditions import checker
from services.scoring.recommendations.diversity import Picked, diversified
from services.scoring.recommendations.tracing import Moved, Removed, Stage, stage
from shared.contracts.shopping import Exploration, Item

POOL_MAX = 20
"""Items that an explorer chooses from at most, new ones among them."""
_NO_CHANGES = Changes()
_ADDED = ("filters", "boosts")


class Candidate(NamedTuple):
    """An item that may be shown, and the model's score of it."""

    item_id: str
    score: float


class Placed(NamedTuple):
    """An item of the answer. score: the model's own. propensity: of showing it here, given what stands elsewhere."""

    item_id: str
    score: float
    propensity: float = 1.0


class Explorer(Protocol):
    """Who fills the place that is explored."""

    def choose(self, pool: Sequence[Candidate], share: float) -> tuple[int, list[float], list[list[float]]]:
        """Return the position in `pool` that is chosen, each one's probability of that, and what they were judged by.

        share: the probability that the choice is the explorer's own and not the first of the pool.
        """
        ...


class Exploring(NamedTuple):
    """Who explores, and items that may be shown and that the model does not rank, such as new ones."""

    explorer: Explorer
    new: Sequence[Candidate] = ()


class Arranged(NamedTuple):
    """A list. exploration: None where no place was explored. stages: only if asked for."""

    placed: list[Placed]
    exploration: Exploration | None = None
    stages: Sequence[Stage] = ()


ItemOf = Callable[[str], Item | None]
"""Gives an item's entry in the catalogue, None where it has none."""


def merged(policy: Merchandising, changes: Changes) -> Merchandising:
    """Return how lists are put together with some changes; filters and boosts come on top of those of the policy."""
    if changes == _NO_CHANGES:
        return policy
    given = {name: getattr(changes, name) for name in Changes.__struct_fields__ if name not in _ADDED}
    replaced = {name: value for name, value in given.items() if value is not UNSET}
    filters, boosts = [*policy.filters, *changes.filters], [*policy.boosts, *changes.boosts]
    return replace(policy, filters=filters, boosts=boosts, **replaced)


def arranged(
    candidates: Sequence[Candidate],
    item_of: ItemOf,
    merchandising: Merchandising,
    n: int,
    exploring: Exploring | None = None,
    *,
    trace: bool = False,
) -> Arranged:
    """Return at most `n` of the candidates in the order of showing; fewer where there are not more that may be shown.

    candidates: best first, each item once, none that the shop filters out; the rules see no others, so some more than
    `n` are needed where there are rules.
    """
    ranked, strengths, stages = candidates, None, []
    if merchandising.boosts:
        ranked, strengths, told = _boosted(ranked, item_of, merchandising.boosts, trace=trace)
        stages.append(told)
    shown = ranked
    cap, diversity = merchandising.per_category_max, merchandising.diversity
    if cap is not None:
        kept, told = _capped(ranked, item_of, cap, len(ranked) if diversity else n, trace=trace)
        shown = [ranked[at] for at in kept]
        strengths = None if strengths is None else [strengths[at] for at in kept]
        stages.append(told)
    if diversity:
        before = shown
        shown, picked = _spread(before, strengths, item_of, n, diversity)
        if trace:
            stages.append(_told_of_diversity(before, picked))
    placed = [Placed(item_id, score) for item_id, score in shown[:n]]
    exploration = None
    if exploring is not None and merchandising.exploration:
        placed, exploration, told = _explored(placed, ranked, item_of, merchandising, exploring)
        stages.append(told)
    return Arranged(placed, exploration, stages if trace else ())


def _boosted(
    candidates: Sequence[Candidate], item_of: ItemOf, boosts: Sequence[Boost], *, trace: bool
) -> tuple[list[Candidate], list[float], Stage]:
    """Return the candidates by how strong the boosts make them, and these strengths; of equals the better comes first.

    Several boosts of one item multiply.
    """
    lowest = candidates[-1].score if candidates else 0.0
    checks = [(checker(boost.when), boost.factor) for boost in boosts]
    factors = []
    for item_id, _ in candidates:
        item, factor = item_of(item_id), 1.0
        for check, times in checks:
            if check(item, item_id):
                factor *= times
        factors.append(factor)
    strengths = [
        lowest + factor * (candidate.score - lowest) for candidate, factor in zip(candidates, factors, strict=True)
    ]
    order = sorted(range(len(candidates)), key=strengths.__getitem__, reverse=True)
    moved = [
        Moved(item_id=candidates[at].item_id, origin=at, place=place, why=f"boosted {factors[at]:g} times")
        for place, at in enumerate(order)
        if trace and factors[at] != 1 and at != place
    ]
    told = stage("boosts", len(order), moved=moved)
    return [candidates[at] for at in order], [strengths[at] for at in order], told


def _capped(
    candidates: Sequence[Candidate], item_of: ItemOf, cap: int, wanted: int, *, trace: bool
) -> tuple[list[int], Stage]:
    """Return the positions of the first `wanted` of which at most `cap` have one main category; without one, any."""
    kept: list[int] = []
    taken: Counter[str] = Counter()
    removed = []
    for at, (item_id, _) in enumerate(candidates):
        if len(kept) == wanted:
            break
        category = _main_category(item_of(item_id))
        if category is None or taken[category] < cap:
            kept.append(at)
            if category is not None:
                taken[category] += 1
        elif trace:
            removed.append(Removed(item_id=item_id, why=f"{cap} of category {category} stand before it"))
    return kept, stage("categories", len(kept), removed=removed)


def _main_category(item: Item | None) -> str | None:
    return item.categories[0] if item is not None and item.categories else None


def _spread(
    candidates: Sequence[Candidate], strengths: Sequence[float] | None, item_of: ItemOf, n: int, diversity: float
) -> tuple[list[Candidate], Picked]:
    """Return `n` of the candidates, each unlike those before; strengths: None, they are the scores."""
    values = np.array([score for _, score in candidates] if strengths is None else strengths, dtype=np.float64)
    picked = diversified(values, [item_of(item_id) for item_id, _ in candidates], n, diversity)
    return [candidates[at] for at in picked.places.tolist()], picked


def _told_of_diversity(candidates: Sequence[Candidate], picked: Picked) -> Stage:
    places = picked.places.tolist()

    def why(at: int) -> str:
        return f"{picked.likeness[at]:.0%} like {candidates[picked.like[at]].item_id}, which was picked before"

    ahead = "less like what was picked before than those it passed"
    moved = [
        Moved(item_id=candidates[at].item_id, origin=at, place=place, why=ahead if at > place else why(at))
        for place, at in enumerate(places)
        if at != place
    ]
    gone = sorted(set(range(len(places))) - set(places))
    removed = [Removed(item_id=candidates[at].item_id, why=why(at)) for at in gone]
    return stage("diversity", len(places), removed=removed, moved=moved)


def _explored(
    placed: list[Placed],
    candidates: Sequence[Candidate],
    item_of: ItemOf,
    merchandising: Merchandising,
    exploring: Exploring,
) -> tuple[list[Placed], Exploration | None, Stage]:
    """Return the list with one place filled by the explorer: the last, where the list ends before that place."""
    place = min(merchandising.exploration_place, len(placed) - 1)
    pool = _pool(placed, place, candidates, item_of, merchandising.per_category_max, exploring.new) if placed else []
    if len(pool) < 2:
        return placed, None, stage("exploration", len(placed))
    chosen, propensities, contexts = exploring.explorer.choose(pool, merchandising.exploration)
    shown, propensity = pool[chosen], propensities[chosen]
    exploration = Exploration(
        place=place,
        pool=[candidate.item_id for candidate in pool],
        scores=[candidate.score for candidate in pool],
        contexts=contexts,
        propensities=propensities,
        chosen=chosen,
    )
    filled = [*placed[:place], Placed(shown.item_id, shown.score, propensity), *placed[place + 1 :]]
    if not chosen:
        return filled, exploration, stage("exploration", len(filled))
    why = f"chosen from {len(pool)} with probability {propensity:.3g}"
    moved = [Moved(item_id=shown.item_id, origin=-1, place=place, why=why)]
    removed = [Removed(item_id=pool[0].item_id, why=f"{shown.item_id} is tried in its place")]
    return filled, exploration, stage("exploration", len(filled), removed=removed, moved=moved)


def _pool(
    placed: Sequence[Placed],
    place: int,
    candidates: Sequence[Candidate],
    item_of: ItemOf,
    cap: int | None,
    new: Sequence[Candidate],
) -> list[Candidate]:
    """Return who may stand in a place: first who stands there, then the best of those not shown, then new items."""
    taken = Counter(
        _main_category(item_of(item.item_id)) for at, item in enumerate(placed) if cap is not None and at != place
    )
    pool = {placed[place].item_id: Candidate(placed[place].item_id, placed[place].score)}
    shown = {item.item_id for item in placed}

    def add(more: Sequence[Candidate], size_max: int) -> None:
        for candidate in more:
            if len(pool) >= size_max:
                return
            if candidate.item_id not in shown and candidate.item_id not in pool:
                category = None if cap is None else _main_category(item_of(candidate.item_id))
                if category is None or taken[category] < (cap or 0):
                    pool[candidate.item_id] = candidate

    add(candidates, POOL_MAX - len(new))
    add(new, POOL_MAX)
    return list(pool.values())
