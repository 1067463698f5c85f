"""From rows of an item-to-item table to each item's strongest neighbours."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from services.training.recommendation.recommender import Neighbours

Reals = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


def pruned(
    blocks: Iterable[tuple[Integers, Reals | sp.csr_matrix]],
    item_count: int,
    width: int,
    columns: Integers | None = None,
) -> Neighbours:
    """Return the `width` strongest neighbours of every item, by absolute strength, none of them the item itself.

    blocks: items and their rows, shape (rows, columns); items in none have no neighbours. columns: the items of the
    columns, by default all. Strengths are scaled so that an item's strongest neighbour has 1 on average, whatever the
    family and however much data: weights learned on less of it still fit.
    """
    width = min(width, item_count)
    targets = np.arange(item_count) if columns is None else columns
    items = np.zeros((item_count, width), dtype=np.int32)
    strengths = np.zeros((item_count, width), dtype=np.float32)
    for rows, table in blocks:
        if sp.issparse(table):
            at, places, kept, values = _strongest_of_sparse(rows, table, width)
            items[at, places], strengths[at, places] = kept, values
        else:
            kept, values = _strongest_of_dense(np.where(rows[:, np.newaxis] == targets, 0.0, table), width)
            items[rows, : kept.shape[1]], strengths[rows, : kept.shape[1]] = targets[kept], values
    # An entry without strength adds nothing; all of them name the same item, so that equal tables are equal.
    items[strengths == 0] = 0
    strongest = np.abs(strengths).max(axis=1, initial=0)
    scale = strongest[strongest > 0].mean() if (strongest > 0).any() else 1.0
    return Neighbours(items, np.asarray(strengths / scale, dtype=np.float32))


def _strongest_of_dense(table: Reals, width: int) -> tuple[Integers, Reals]:
    """Return the columns and the strengths, shape (rows, width) or fewer columns."""
    taken = min(width, table.shape[1])
    kept = np.argpartition(-np.abs(table), taken - 1, axis=1)[:, :taken]
    return kept, np.take_along_axis(table, kept, axis=1)


def _strongest_of_sparse(
    rows: Integers, table: sp.csr_matrix, width: int
) -> tuple[Integers, Integers, Integers, Reals]:
    """Return of each kept entry its item, its place among those of the item, its column and its strength."""
    entries = table.tocoo()
    at, columns, values = rows[entries.row], entries.col, entries.data
    order = np.lexsort((columns, -np.abs(values), at))
    order = order[at[order] != columns[order]]
    at = at[order]
    begins = np.flatnonzero(np.diff(at, prepend=-1))
    places = np.arange(len(at)) - np.repeat(begins, np.diff(begins, append=len(at)))
    kept = places < width
    return at[kept], places[kept], columns[order][kept], values[order][kept]
