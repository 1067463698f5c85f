"""Maximal marginal relevance: next comes what is relevant and unlike what stands before it.

Carbonell, Goldstein, "The use of MMR, diversity-based reranking for reordering documents and producing summaries",
SIGIR 1998. Greedy; the likeness of two items is the Jaccard index of their categories and textual attributes. Numbers
are left out: two prices are hardly ever equal, which says nothing of how alike two items are.
"""

import threading
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.contracts.shopping import Item
from shared.features.kernel import kernel

_Floats = npt.NDArray[np.float64]
_Integers = npt.NDArray[np.int64]

_NONE = np.empty(0, dtype=np.int64)
_REMEMBERED_MAX = 65_536
_remembered: dict[str, tuple[Item, _Integers]] = {}
"""Traits by item, which take longer to find than all the rest; they hold as long as the very same entry stands."""


class Picked(NamedTuple):
    """What to show, in order, and why.

    places: shape (picked,), positions among what was given. likeness: shape (items,), how alike each is to the picked
    item that is most like it, of those before it, or of all for what was not picked. like: shape (items,), that item's
    position; -1 where none has anything in common with it.
    """

    places: _Integers
    likeness: _Floats
    like: _Integers


class DiversityCompiled:
    """A worker that has the arithmetic compiled when scoring starts, so that no question waits for it."""

    name = "diversity"

    def __init__(self) -> None:
        self._is_compiled = threading.Event()

    def run(self, stop: threading.Event) -> None:
        del stop
        diversified(np.array([1.0, 0.5]), [None, None], 2, 0.5)
        self._is_compiled.set()

    def problem(self) -> str | None:
        return None if self._is_compiled.is_set() else "the arithmetic of diversity is not compiled yet"


def diversified(strengths: _Floats, items: Sequence[Item | None], count: int, diversity: float) -> Picked:
    """Return `count` of the items, or all that there are, picked one after the other.

    strengths: shape (items,), relevance in any unit; it is taken relative to the strongest and the weakest. items: None
    is like no other. diversity: 0 counts relevance alone, 1 likeness alone; of equals the first given comes first.
    """
    traits = [_NONE if item is None else _traits(item) for item in items]
    ends = np.cumsum([0, *map(len, traits)], dtype=np.int64)
    flat = np.concatenate([_NONE, *traits])
    span = float(np.ptp(strengths)) if len(strengths) else 0.0
    relevance = (strengths - strengths.min()) / span if span else np.zeros(len(strengths))
    return Picked(*_picked(relevance, ends, flat, min(count, len(items)), diversity))


def _traits(item: Item) -> _Integers:
    """Return a hash for each trait; it differs between processes, but only which are equal counts."""
    known = _remembered.get(item.item_id)
    if known is not None and known[0] is item:
        return known[1]
    found = {hash(category) for category in item.categories}
    found |= {hash(pair) for pair in item.attributes.items() if isinstance(pair[1], str)}
    if len(_remembered) >= _REMEMBERED_MAX:
        _remembered.clear()
    traits = np.array(list(found), dtype=np.int64)
    _remembered[item.item_id] = item, traits
    return traits


@kernel
def _numbered(hashes: _Integers) -> _Integers:
    """Return a number below 4 · (n + 1) for each of n hashes, the same for the same: its place in a hash table."""
    size = 2
    while size < 2 * len(hashes):
        size *= 2
    table, is_taken, numbers = np.empty(size, np.int64), np.zeros(size, np.bool_), np.empty(len(hashes), np.int64)
    for at in range(len(hashes)):
        slot = hashes[at] & (size - 1)
        while is_taken[slot] and table[slot] != hashes[at]:
            slot = (slot + 1) & (size - 1)
        table[slot], is_taken[slot], numbers[at] = hashes[at], True, slot
    return numbers


@kernel
def _picked(
    relevance: _Floats, ends: _Integers, hashes: _Integers, count: int, diversity: float
) -> tuple[_Integers, _Floats, _Integers]:
    """Return the fields of Picked; hashes: of the traits, those of each item between two `ends`."""
    of, traits = len(relevance), _numbered(hashes)
    places, is_left = np.empty(count, np.int64), np.ones(of, np.bool_)
    likeness, like = np.zeros(of), np.full(of, -1)
    is_of_last = np.zeros(4 * (len(traits) + 1), np.bool_)
    for place in range(count):
        best, best_value = -1, -np.inf
        for item in range(of):
            value = (1 - diversity) * relevance[item] - diversity * likeness[item]
            if is_left[item] and value > best_value:
                best, best_value = item, value
        places[place], is_left[best] = best, False
        own = traits[ends[best] : ends[best + 1]]
        is_of_last[own] = True
        for item in range(of):
            both = 0
            for at in range(ends[item], ends[item + 1]):
                both += is_of_last[traits[at]]
            alike = both / max(len(own) + ends[item + 1] - ends[item] - both, 1)
            if is_left[item] and alike > likeness[item]:
                likeness[item], like[item] = alike, best
        is_of_last[own] = False
    return places, likeness, like
