"""From histories and a plan to a recommender."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from services.training.recommendation.ease import ease
from services.training.recommendation.factors import factors
from services.training.recommendation.histories import Histories
from services.training.recommendation.nearest_neighbours import nearest_neighbours
from services.training.recommendation.next_item import next_item
from services.training.recommendation.plan import (
    Ease,
    Factors,
    NearestNeighbours,
    NextItem,
    Plan,
    Table,
    Traits,
    Transitions,
)
from services.training.recommendation.popularity import popularity
from services.training.recommendation.recommender import Component, Neighbours, Recommender
from services.training.recommendation.traits import alike_in_traits
from services.training.recommendation.transitions import transitions


@dataclass(frozen=True)
class Vocabulary:
    """What the numbers in histories stand for; the fields of `Recommender`, and of each item its traits.

    traits: like `category=shoes`, one sequence an item; empty: nothing is known of any.
    """

    item_ids: tuple[str, ...]
    traits: Sequence[Sequence[str]]
    segments: tuple[str, ...]
    segment_attribute: str | None
    kind_weights: dict[str, float]
    half_life_seconds: float | None = None


def fit(histories: Histories, plan: Plan, vocabulary: Vocabulary) -> Recommender:
    """Return the recommender that the plan makes of these histories; components are named after their tables.

    Raises:
        ValueError: the vocabulary is one of other items, or a table cannot be fitted.
    """
    if len(vocabulary.item_ids) != histories.item_count:
        raise ValueError(f"{len(vocabulary.item_ids)} item ids for {histories.item_count} items")
    tables: dict[Table, Neighbours] = {}
    components: list[Component] = []
    for each in plan.components:
        if each.table not in tables:
            tables[each.table] = fitted(histories, each.table, width=plan.width, traits=vocabulary.traits)
        name = _unused_name(each.table.family, [component.name for component in components])
        components.append(Component(name, tables[each.table], each.weight, each.decay, each.length, each.norm))
    return Recommender(
        item_ids=vocabulary.item_ids,
        components=tuple(components),
        popularity=popularity(
            histories, 1 + len(vocabulary.segments), half_life_seconds=plan.popularity_half_life_seconds
        ),
        popularity_weight=plan.popularity_weight,
        segments=vocabulary.segments,
        segment_attribute=vocabulary.segment_attribute,
        kind_weights=vocabulary.kind_weights,
        half_life_seconds=vocabulary.half_life_seconds,
    )


def fitted(histories: Histories, table: Table, *, width: int, traits: Sequence[Sequence[str]] = ()) -> Neighbours:
    """Return one table of the plan; without traits no item is like another in them."""
    match table:
        case Ease():
            return ease(histories, table, width=width)
        case NearestNeighbours():
            return nearest_neighbours(histories, table, width=width)
        case Transitions():
            return transitions(histories, table, width=width)
        case NextItem():
            return next_item(histories, table, width=width)
        case Factors():
            return factors(histories, table, width=width)
        case Traits():
            return alike_in_traits(histories, traits or [()] * histories.item_count, table, width=width)


def _unused_name(tag: str, names: Sequence[str]) -> str:
    numbered = (tag if number == 1 else f"{tag}_{number}" for number in count(1))
    return next(name for name in numbered if name not in names)
