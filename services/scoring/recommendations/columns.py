"""The attributes of many items as arrays, so that a condition on all of them is a few steps of numpy.

What `conditions.meets` tells of one item, `Columns.meeting` tells of every item at once.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from services.scoring.recommendations.asked import Condition, Value
from services.scoring.recommendations.conditions import CATEGORY, ITEM_ID, checker
from shared.contracts.shopping import Item

Flags = npt.NDArray[np.bool_]
"""Shape (items,)."""

COLUMNS_MAX = 128
"""Attributes that become arrays; one takes 12 bytes an item, or 8 and 4 for each category of whoever has most."""
COMMON_SHARE = 0.02
"""Of the items have an attribute that becomes an array; of the others the items are looked at one by one."""
_COMMON_MIN = 64
_NONE = -1


class Columns:
    """What the catalogue says of the items at some positions; for one thread at a time."""

    def __init__(self, positions: Mapping[str, int]) -> None:
        """Begin with items of which nothing is known; positions: of their ids, from 0."""
        self._positions = positions
        self._items: list[Item | None] = [None] * len(positions)
        self._is_known = np.zeros(len(positions), dtype=np.bool_)
        self._columns: dict[str, _Column] = {}
        self._rare: defaultdict[str, set[int]] = defaultdict(set)
        self._rare_max = max(_COMMON_MIN, int(COMMON_SHARE * len(positions)))

    def put(self, at: int, item: Item | None) -> None:
        """Take over what the catalogue says of an item; None: nothing."""
        before, self._items[at] = self._items[at], item
        self._is_known[at] = item is not None
        for attribute in {**_attributes_of(before), **_attributes_of(item)}:
            self._put(at, attribute, () if item is None else _values_of(item, attribute))

    def meeting(self, condition: Condition) -> Flags:
        """Return which items meet a condition, in an array of the caller's own."""
        attribute = condition.attribute
        if attribute == ITEM_ID:
            met = self._of_ids(condition)
            return ~met if condition.is_not else met
        column = self._columns.get(attribute)
        met = self._one_by_one(condition) if column is None else column.meeting(condition)
        return self._is_known & ~met if condition.is_not else met

    def _put(self, at: int, attribute: str, values: Sequence[Value]) -> None:
        column = self._columns.get(attribute)
        if column is not None:
            column.put(at, values)
            return
        having = self._rare[attribute]
        if not values:
            having.discard(at)
            return
        having.add(at)
        if len(having) > self._rare_max and len(self._columns) < COLUMNS_MAX:
            self._columns[attribute] = self._column(attribute)

    def _column(self, attribute: str) -> "_Column":
        column = _Column(len(self._items))
        for at in self._rare.pop(attribute):
            item = self._items[at]
            column.put(at, () if item is None else _values_of(item, attribute))
        return column

    def _of_ids(self, condition: Condition) -> Flags:
        met = np.zeros(len(self._items), dtype=np.bool_)
        if condition.at_least is not None or condition.at_most is not None:
            return met
        if not condition.any_of:
            return ~met
        positions = (self._positions.get(value) for value in condition.any_of if isinstance(value, str))
        met[[at for at in positions if at is not None]] = True
        return met

    def _one_by_one(self, condition: Condition) -> Flags:
        met = np.zeros(len(self._items), dtype=np.bool_)
        check = checker(replace(condition, is_not=False))
        met[[at for at in self._rare.get(condition.attribute, ()) if check(self._items[at], "")]] = True
        return met


class _Column:
    """One attribute: any number of texts an item, as codes, and a number or NaN."""

    def __init__(self, count: int) -> None:
        self._codes: dict[str, int] = {}
        self._texts = np.full((1, count), _NONE, dtype=np.int32)
        self._numbers = np.full(count, np.nan)

    def put(self, at: int, values: Sequence[Value]) -> None:
        lacking = len(values) - len(self._texts)
        if lacking > 0:
            self._texts = np.pad(self._texts, ((0, lacking), (0, 0)), constant_values=_NONE)
        self._texts[:, at], self._numbers[at] = _NONE, np.nan
        for place, value in enumerate(values):
            if isinstance(value, str):
                self._texts[place, at] = self._codes.setdefault(value, len(self._codes))
            else:
                self._numbers[at] = value

    def meeting(self, condition: Condition) -> Flags:
        """Return which items have a value that passes, whatever `is_not` says."""
        low, high, numbers = condition.at_least, condition.at_most, self._numbers
        if low is None and high is None:
            return self._is_any_of(condition.any_of) if condition.any_of else self._is_there()
        met = np.ones(len(numbers), dtype=np.bool_) if low is None else numbers >= low
        if high is not None:
            met &= numbers <= high
        if condition.any_of:
            met &= self._is_any_of(condition.any_of)
        return met

    def _is_there(self) -> Flags:
        there: Flags = ~np.isnan(self._numbers)
        there |= self._texts[0] != _NONE
        return there

    def _is_any_of(self, wanted: Sequence[Value]) -> Flags:
        met = np.zeros(len(self._numbers), dtype=np.bool_)
        # One more, and never wanted: the place that _NONE points to.
        is_wanted = np.zeros(len(self._codes) + 1, dtype=np.bool_)
        is_wanted[[self._codes[value] for value in wanted if isinstance(value, str) and value in self._codes]] = True
        if is_wanted.any():
            for texts in self._texts:
                met |= is_wanted[texts]
        if numbers := [value for value in wanted if not isinstance(value, str)]:
            met |= np.isin(self._numbers, numbers)
        return met


def _attributes_of(item: Item | None) -> Mapping[str, object]:
    """Return a mapping whose keys are the attributes that an item has values of."""
    return {} if item is None else {**item.attributes, CATEGORY: item.categories}


def _values_of(item: Item, attribute: str) -> Sequence[Value]:
    """Return an item's values of an attribute: its categories, else one or none."""
    if attribute == CATEGORY:
        return item.categories
    value = item.attributes.get(attribute)
    return () if value is None else (value,)
