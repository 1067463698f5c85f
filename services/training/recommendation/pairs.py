"""Sums over pairs of touches in the same history, by how far apart they are: what all sequential models are made of.

A pair of the p-th and a later q-th touch of one user, g = q - p apart, adds

    left[p] * right[q] * forward[g]    to the entry of (item p, item q)
    left[p] * right[q] * backward[g]   to the entry of (item q, item p)

and a touch alone (g = 0) left[p] * right[p] * forward[0] to the diagonal. Rows are summed one item at a time over an
index of its touches, so time and memory are those of the pairs there are, however many items.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from services.training.recommendation.histories import Histories
from shared.features.kernel import kernel

Reals = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_ENTRIES_AT_ONCE = 2**24


class Pairing(NamedTuple):
    """The letters of the module's formula; forward and backward: shape (gaps,), beyond which no pair counts."""

    left: Reals
    right: Reals
    forward: Reals
    backward: Reals


class PairSums:
    """The sums of one pairing over all histories."""

    def __init__(self, histories: Histories, pairing: Pairing) -> None:
        self._histories = histories
        self._pairing = pairing
        self._touches = np.argsort(histories.items, kind="stable").astype(np.int64)
        begins = np.searchsorted(histories.items[self._touches], np.arange(histories.item_count + 1))
        self._begins = begins.astype(np.int64)
        self._firsts, self._ends = (
            np.repeat(each, histories.lengths) for each in (histories.offsets[:-1], histories.offsets[1:])
        )
        self._pairs = self._pairs_of_items()

    def table(self, rows: Integers, columns: Integers) -> Reals:
        """Return the sums between some items and others, shape (rows, columns)."""
        table: Reals = self._sums(rows, columns).toarray()
        return table

    def blocks(self) -> Iterator[tuple[Integers, sp.csr_matrix]]:
        """Yield some items at a time, and their sums with every item, shape (rows, items)."""
        everything = np.arange(self._histories.item_count)
        room = np.cumsum(np.minimum(self._pairs, self._histories.item_count))
        for rows in np.split(everything, np.flatnonzero(np.diff(room // _ENTRIES_AT_ONCE)) + 1):
            yield rows, self._sums(rows, everything)

    def _sums(self, rows: Integers, columns: Integers) -> sp.csr_matrix:
        column_of = np.full(self._histories.item_count, -1, dtype=np.int64)
        column_of[columns] = np.arange(len(columns))
        room = int(np.minimum(self._pairs[rows], len(columns)).sum())
        index = (self._begins, self._touches, self._firsts, self._ends)
        ends, found, sums = _summed(index, self._histories.items, self._pairing, rows, column_of, room)
        return sp.csr_matrix((sums, found, ends), shape=(len(rows), len(columns)))

    def _pairs_of_items(self) -> Integers:
        """Return how many touches are in reach of each item's, shape (items,)."""
        reach = len(self._pairing.forward)
        places = np.arange(len(self._firsts))
        in_reach = np.minimum(places - self._firsts, reach) + np.minimum(self._ends - places, reach)
        return np.bincount(self._histories.items, in_reach, self._histories.item_count).astype(np.int64)


def row_blocks(item_count: int) -> Iterator[Integers]:
    """Yield the items, so many at a time that dense rows of them fit into memory."""
    step = max(_ENTRIES_AT_ONCE // max(item_count, 1), 1)
    for begin in range(0, item_count, step):
        yield np.arange(begin, min(begin + step, item_count))


@kernel
def _summed(
    index: tuple[Integers, Integers, Integers, Integers],
    items: npt.NDArray[np.int32],
    pairing: Pairing,
    rows: Integers,
    column_of: Integers,
    room: int,
) -> tuple[Integers, Integers, Reals]:
    """Return the rows as the three arrays of a sparse matrix with at most `room` entries."""
    begins, touches, firsts, lasts = index
    left, right, forward, backward = pairing
    reach = len(forward)
    ends, columns, sums = np.zeros(len(rows) + 1, np.int64), np.empty(room, np.int64), np.empty(room)
    own, is_filled = np.zeros(len(column_of)), np.zeros(len(column_of), np.bool_)
    filled = 0
    for row in range(len(rows)):
        for touch in touches[begins[rows[row]] : begins[rows[row] + 1]]:
            for other in range(max(firsts[touch], touch - reach + 1), min(lasts[touch], touch + reach)):
                column = column_of[items[other]]
                if column < 0:
                    continue
                if not is_filled[column]:
                    is_filled[column] = True
                    columns[filled] = column
                    filled += 1
                if other < touch:
                    own[column] += left[other] * right[touch] * backward[touch - other]
                else:
                    own[column] += left[touch] * right[other] * forward[other - touch]
        for at in range(ends[row], filled):
            sums[at] = own[columns[at]]
            own[columns[at]] = 0.0
            is_filled[columns[at]] = False
        ends[row + 1] = filled
    return ends, columns[:filled], sums[:filled]
