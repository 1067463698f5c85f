"""How a recommender is to be made: tables to be fitted, and what each counts in the blend."""

import msgspec
from msgspec import Struct


class _Table(Struct, frozen=True, tag_field="family"):
    @property
    def family(self) -> str:
        """Its tag, which also names the component made of it."""
        return str(self.__struct_config__.tag)

    @property
    def parameters(self) -> dict[str, float]:
        """Its fields."""
        return msgspec.structs.asdict(self)


class Ease(_Table, frozen=True, tag="ease"):
    """l2: in units of the mean diagonal of the Gram matrix. items_max: the items that count most are taken in."""

    l2: float
    items_max: int


class NearestNeighbours(_Table, frozen=True, tag="nearest_neighbours"):
    """shrinkage: what is added to the product of two items' norms, by which their likeness is divided."""

    shrinkage: float


class Transitions(_Table, frozen=True, tag="transitions"):
    """decay: of a pair, with each touch between the two. backward: what a pair counts from the later to the earlier.

    row_power, column_power: of how often the item of the history, and its neighbour, were touched; what the sum of
    pairs is divided by.
    """

    decay: float
    backward: float
    row_power: float
    column_power: float


class NextItem(_Table, frozen=True, tag="next_item"):
    """decay: of the history, with each touch. l2, items_max: as in `Ease`.

    skip: so many touches right before the target are not learned from, where the order of neighbours says little.
    user_power: of the length of a history, what each touch of it is divided by. column_power: of how often the target
    was touched, likewise.
    """

    decay: float
    l2: float
    items_max: int
    skip: int = 0
    user_power: float = 0.5
    column_power: float = 0.1


class Factors(_Table, frozen=True, tag="factors"):
    """size: how many. confidence: how much more than a touch that did not happen one of weight 1 counts."""

    size: int
    l2: float
    confidence: float


class Traits(_Table, frozen=True, tag="traits"):
    """interactions_max: of two items that both have more, how alike they are does not count."""

    interactions_max: int


Table = Ease | NearestNeighbours | Transitions | NextItem | Factors | Traits
"""One item-to-item table to be fitted: its family and parameters."""


class PlannedComponent(Struct, frozen=True):
    """A table in the blend, and how a history is weighed before it; the numbers are those of `Component`."""

    table: Table
    weight: float
    decay: float
    length: int = 50
    norm: float = 0.0


class Plan(Struct, frozen=True):
    """Everything that, with histories, makes a recommender. It is what a model's manifest keeps as its parameters."""

    components: tuple[PlannedComponent, ...]
    popularity_weight: float
    popularity_half_life_seconds: float | None = None
    width: int = 100
