"""A feature set as arrays of integers: the form in which the compiled arithmetic reads it.

Features over the same window share a slot; a slot is aggregated once, in one pass over the entity's records.
"""

from datetime import timedelta
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.features.definitions import (
    PAST_ONLY,
    Aggregation,
    AmountBelow,
    Category,
    Entity,
    Equals,
    FeatureSet,
    Field,
    Filter,
    Row,
    RowFunction,
    Same,
    Window,
)
from shared.features.marks import NEVER_US
from shared.features.state import Bits, bits_of, category_code

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
UNBOUNDED = np.iinfo(np.int64).max


class Slot(IntEnum):
    """Columns of a slot."""

    LENGTH_US = 0
    DELAY_US = 1
    PAST_ONLY = 2
    AMOUNT_BELOW = 3
    DISTINCT_WORD = 4
    DISTINCT_SHIFT = 5
    DISTINCT_MASK = 6
    DISTINCT_TABLE = 7
    """Which of the tables of values it fills, or -1."""
    AMOUNTS_ROW = 8
    """Which of the lists of amounts it fills, or -1."""
    NEEDS_MOMENTS = 9
    IS_NARROWED = 10
    NEEDS_STREAK = 11
    CONDITIONS = 12


CONDITIONS_MAX = 2


class Condition(IntEnum):
    """Columns of one of a slot's conditions, which stand behind one another from Slot.CONDITIONS on."""

    MODE = 0
    WORD = 1
    SHIFT = 2
    MASK = 3
    VALUE = 4


CONDITION_COLUMNS = len(Condition)
SLOT_COLUMNS = Slot.CONDITIONS + CONDITIONS_MAX * CONDITION_COLUMNS
NO_CONDITION, EQUALS_VALUE, SAME_AS_OWN = range(3)

OPERATIONS: tuple[Aggregation | RowFunction | type[Category], ...] = (*Aggregation, *RowFunction, Category)
"""What a feature's operation code stands for."""
CODES_OF = {operation: code for code, operation in enumerate(OPERATIONS)}

_MOMENTS = {Aggregation.DEVIATION, Aggregation.Z_SCORE}
_ORDERED = {Aggregation.OUTLIERS, Aggregation.ROBUST_Z}
_MICROSECOND = timedelta(microseconds=1)


# What is gathered for each slot: times in microseconds, amounts in minor units; SQUARES are distances to MEAN,
# TILED is how many of COUNT stand in tiles; STREAK are the frauds behind the newest other payment.
COUNT, SUM, MIN, MAX, FRAUDS, NEWEST, OLDEST, NEWEST_FRAUD, MEAN, SQUARES, DISTINCT, TILED = range(12)
STREAK = 12
GATHERED = 13
EMPTY = np.array([0, 0, UNBOUNDED, -1, 0, NEVER_US, UNBOUNDED, NEVER_US, 0, 0, 0, 0, 0], dtype=np.float64)
"""What is gathered for the windows of an entity that a payment does not have."""


class Program(NamedTuple):
    """A feature set, compiled.

    slots: shape (s, SLOT_COLUMNS), those of one entity together.
    slot_ends: shape (entities,): where each entity's slots end. horizons_us: shape (entities,).
    features: shape (f, 4): operation, slot (or word), second slot (or shift), mask; -1 where it has none.
    """

    slots: Integers
    slot_ends: Integers
    horizons_us: Integers
    features: Integers


def compiled(feature_set: FeatureSet) -> Program:
    """Return `feature_set` as arrays."""
    windows = [feature for feature in feature_set.features if isinstance(feature, Window)]
    keys = list(dict.fromkeys(key for window in windows for key in _slots_of(window)))
    entities = feature_set.entities
    keys.sort(key=lambda key: entities.index(key.entities[0]))
    owners = [entities.index(key.entities[0]) for key in keys]
    slots = np.array([_row(key, windows) for key in keys], dtype=np.int64).reshape(-1, SLOT_COLUMNS)
    for column in (Slot.DISTINCT_TABLE, Slot.AMOUNTS_ROW):
        wanted = slots[:, column] > 0
        slots[:, column] = np.where(wanted, np.cumsum(wanted) - 1, -1)
    return Program(
        slots=slots,
        slot_ends=np.array([sum(owner <= at for owner in owners) for at in range(len(entities))], dtype=np.int64),
        horizons_us=np.array([feature_set.horizon(entity) // _MICROSECOND for entity in entities], dtype=np.int64),
        features=np.array([_operation(feature, keys) for feature in feature_set.features], dtype=np.int64),
    )


class _Key(NamedTuple):
    """What tells one slot from another."""

    entities: tuple[Entity, ...]
    length: timedelta
    delay: timedelta
    where: Filter | None
    of: Field | Entity | None
    past_only: bool


def _slots_of(window: Window) -> list[_Key]:
    """Return the slot a window reads, and the second one where it reads two."""
    past_only = window.aggregation in PAST_ONLY
    first = _Key(window.entities, window.length, window.delay, window.where, window.of, past_only)
    if window.aggregation is Aggregation.SHARE:
        return [first, first._replace(where=None)]
    if window.reference is not None:
        return [first, first._replace(length=window.reference, where=None)]
    return [first]


def _row(key: _Key, windows: list[Window]) -> list[int]:
    own = key.entities[0]
    readers = [window.aggregation for window in windows if key in _slots_of(window)]
    distinct = bits_of(key.of, inside=own) if key.of else Bits(0, 0, 0)
    conditions = [_same(entity, own) for entity in key.entities[1:]]
    if isinstance(key.where, Equals):
        code = category_code(key.where.field, key.where.value)
        conditions.append([EQUALS_VALUE, *bits_of(key.where.field, inside=own), code])
    elif isinstance(key.where, Same):
        conditions.append(_same(key.where.field, own))
    padding = [[NO_CONDITION, 0, 0, 0, 0]] * (CONDITIONS_MAX - len(conditions))
    below = key.where.minor_units if isinstance(key.where, AmountBelow) else UNBOUNDED
    needs_amounts = any(reader in _ORDERED for reader in readers)
    return [
        key.length // _MICROSECOND,
        key.delay // _MICROSECOND,
        key.past_only,
        below,
        *distinct,
        key.of is not None,
        needs_amounts,
        any(reader in _MOMENTS for reader in readers),
        bool(conditions) or below != UNBOUNDED,
        Aggregation.FRAUD_STREAK in readers,
        *(column for condition in conditions + padding for column in condition),
    ]


def _same(what: Field | Entity, own: Entity) -> list[int]:
    return [SAME_AS_OWN, *bits_of(what, inside=own), 0]


def _operation(feature: Window | Row | Category, keys: list[_Key]) -> list[int]:
    if isinstance(feature, Row):
        return [CODES_OF[feature.function], -1, -1, -1]
    if isinstance(feature, Category):
        return [CODES_OF[Category], *bits_of(feature.field, inside=Entity.CARD)]
    places = [keys.index(key) for key in _slots_of(feature)]
    second = places[1] if len(places) > 1 else -1
    return [CODES_OF[feature.aggregation], places[0], second, -1]
