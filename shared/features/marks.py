"""What must be known about packed records before windows can be computed over them, compiled.

Which records repeat another, which labels speak of which payment, and what was folded into tiles.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.features.kernel import kernel
from shared.features.state import AMOUNT, EVENT, LABEL_KIND, ORIGIN, SUBJECT, TILE_KIND, TIME, Records

Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

NEVER_US = -(2**62)
"""Before every event time."""
# Multiplier of Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4); keys are hashes already.
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_SMALLEST_TABLE = 16


class Marks(NamedTuple):
    """About each of n records, those of one entity standing together.

    is_first: shape (n,): False where a record repeats an earlier one of its entity.
    labels: shape (n,): for a payment, the row of a label that speaks of it; for a label, that of another one about the
        same payment; -1 where there is none.
    is_orphan: shape (n,): True for a label whose payment does not stand among the records.
    times_us, amounts: shape (n,): of each payment that counts, side by side; times_us is NEVER_US for everything else:
        copies, labels, tiles, and payments older than the watermark, which may have been folded already.
    watermarks_us: shape (entities,): newest event time that was folded into tiles; NEVER_US where none was.
    has_labels: shape (entities,).
    """

    is_first: Booleans
    labels: Integers
    is_orphan: Booleans
    times_us: Integers
    amounts: Integers
    watermarks_us: Integers
    has_labels: Booleans


@kernel
def _place(table: Integers, begin: int, records: Records, column: int, wanted: int) -> int:
    """Return where in an open-addressing table the row with `wanted` stands, or the free place for it.

    A place is free when its row is before `begin`: so a table serves one entity after another without being cleared.
    """
    mask = table.shape[0] - 1
    place = np.int64((np.uint64(wanted) * _SPREAD) >> np.uint64(32)) & mask
    while table[place] >= begin and records[table[place], column] != wanted:
        place = (place + 1) & mask
    return int(place)


@kernel
def _mark_payments(records: Records, begin: int, end: int, table: Integers, is_first: Booleans) -> tuple[bool, int]:
    """Mark first copies; return whether there are labels, and the watermark."""
    has_labels, watermark = False, NEVER_US
    for i in range(begin, end):
        if records[i, ORIGIN] >= TILE_KIND:
            is_first[i] = True
            watermark = max(watermark, records[i, TIME])
        elif records[i, ORIGIN] >= LABEL_KIND:
            has_labels = True
        else:
            place = _place(table, begin, records, EVENT, records[i, EVENT])
            if table[place] < begin:
                table[place] = i
                is_first[i] = True
    return has_labels, watermark


@kernel
def _mark_labels(  # noqa: PLR0913, PLR0917 - flat arrays are what compiles well
    records: Records,
    begin: int,
    end: int,
    tables: Integers,
    is_first: Booleans,
    labels: Integers,
    is_orphan: Booleans,
) -> None:
    """Mark first copies of labels, and chain them to their payments; tables: by event, and by subject."""
    for i in range(begin, end):
        if LABEL_KIND <= records[i, ORIGIN] < TILE_KIND:
            place = _place(tables[0], begin, records, EVENT, records[i, EVENT])
            if tables[0, place] < begin:
                tables[0, place] = i
                is_first[i] = is_orphan[i] = True
                place = _place(tables[1], begin, records, SUBJECT, records[i, SUBJECT])
                labels[i] = tables[1, place] if tables[1, place] >= begin else -1
                tables[1, place] = i
    for i in range(begin, end):
        if is_first[i] and records[i, ORIGIN] < LABEL_KIND:
            place = _place(tables[1], begin, records, SUBJECT, records[i, SUBJECT])
            if tables[1, place] >= begin:
                labels[i] = label = tables[1, place]
                while label >= 0:
                    is_orphan[label] = False
                    label = labels[label]


@kernel
def mark(records: Records, ends: Integers) -> Marks:
    """Return the marks of `records`, of which entity e's stand before row ends[e] and not before ends[e - 1]."""
    count, entities = records.shape[0], ends.shape[0]
    is_first = np.zeros(count, dtype=np.bool_)
    labels = np.full(count, -1, dtype=np.int64)
    is_orphan = np.zeros(count, dtype=np.bool_)
    times, amounts = np.full(count, NEVER_US, dtype=np.int64), np.zeros(count, dtype=np.int64)
    watermarks = np.full(entities, NEVER_US, dtype=np.int64)
    has_labels = np.zeros(entities, dtype=np.bool_)
    longest = 0
    for e in range(entities):
        longest = max(longest, ends[e] - (ends[e - 1] if e else 0))
    size = _SMALLEST_TABLE
    while size < 2 * longest:
        size *= 2
    tables = np.full((3, size), -1, dtype=np.int64)
    for e in range(entities):
        begin = ends[e - 1] if e else 0
        has_labels[e], watermarks[e] = _mark_payments(records, begin, ends[e], tables[0], is_first)
        if has_labels[e]:
            _mark_labels(records, begin, ends[e], tables[1:], is_first, labels, is_orphan)
        for i in range(begin, ends[e]):
            if is_first[i] and records[i, ORIGIN] < LABEL_KIND and records[i, TIME] > watermarks[e]:
                times[i], amounts[i] = records[i, TIME], records[i, AMOUNT]
    return Marks(is_first, labels, is_orphan, times, amounts, watermarks, has_labels)
