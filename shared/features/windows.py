"""Window arithmetic over packed records, compiled: one pass over an entity's records for all of its windows.

A payment's vector depends on the records up to and including its own, in order of arrival, and of these only on those
at or before its event time. Anything that arrived later cannot change it. What serves online and what builds training
sets both end here.
"""

from typing import NamedTuple

import numpy as np

from shared.features.folded import add_folded
from shared.features.kernel import kernel
from shared.features.marks import NEVER_US, Marks
from shared.features.program import (
    CONDITION_COLUMNS,
    CONDITIONS_MAX,
    COUNT,
    DISTINCT,
    FRAUDS,
    MAX,
    MEAN,
    MIN,
    NEWEST,
    NEWEST_FRAUD,
    NO_CONDITION,
    OLDEST,
    SAME_AS_OWN,
    SQUARES,
    STREAK,
    SUM,
    UNBOUNDED,
    Condition,
    Floats,
    Integers,
    Slot,
)
from shared.features.state import (
    AMOUNT,
    FIRST,
    TIME,
    Records,
)

# numba knows plain integers only: the columns of Slot and Condition, under names of their own.
_LENGTH_US, _DELAY_US, _PAST_ONLY = int(Slot.LENGTH_US), int(Slot.DELAY_US), int(Slot.PAST_ONLY)
_AMOUNT_BELOW, _CONDITIONS = int(Slot.AMOUNT_BELOW), int(Slot.CONDITIONS)
_DISTINCT_WORD, _DISTINCT_SHIFT = int(Slot.DISTINCT_WORD), int(Slot.DISTINCT_SHIFT)
_DISTINCT_MASK, _DISTINCT_TABLE = int(Slot.DISTINCT_MASK), int(Slot.DISTINCT_TABLE)
_AMOUNTS_ROW, _NEEDS_MOMENTS, _IS_NARROWED = int(Slot.AMOUNTS_ROW), int(Slot.NEEDS_MOMENTS), int(Slot.IS_NARROWED)
_NEEDS_STREAK = int(Slot.NEEDS_STREAK)
_MODE, _WORD, _SHIFT = int(Condition.MODE), int(Condition.WORD), int(Condition.SHIFT)
_MASK, _VALUE = int(Condition.MASK), int(Condition.VALUE)

_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # Fibonacci hashing, as in marks


class Scratch(NamedTuple):
    """Room to work in, used again for every question.

    frauds: shape (longest,): which of an entity's payments were known to be fraud. none: shape (longest,), all 0.
    rows, times, amounts, narrow_frauds: shape (longest,): what passes a filter.
    seen: shape (tables, size): values met; filled: shape (tables, size): the question that filled the place.
    lists: shape (lists, longest): amounts one by one; lengths: shape (lists,): how many stand there.
    """

    frauds: Integers
    none: Integers
    rows: Integers
    times: Integers
    amounts: Integers
    narrow_frauds: Integers
    seen: Integers
    filled: Integers
    lists: Floats
    lengths: Integers


@kernel
def _known_fraud(records: Records, labels: Integers, i: int, own: int, time_us: int) -> int:
    """Return 1 if payment `i` was known to be fraud when row `own` arrived, as of `time_us`; else 0.

    Of several labels the one that became known last holds; at the same instant, fraud does.
    """
    label, known_us, is_fraud = labels[i], NEVER_US, 0
    while label >= 0:
        known = records[label, TIME]
        arrived = label < own or records[label, FIRST] == 1
        if arrived and known <= time_us and (known, records[label, AMOUNT]) > (known_us, is_fraud):
            known_us, is_fraud = known, records[label, AMOUNT]
        label = labels[label]
    return is_fraud


@kernel
def _passes(records: Records, i: int, own: int, slots: Integers, s: int) -> bool:
    """Tell whether record `i` passes the filters of slot `s`."""
    if records[i, AMOUNT] >= slots[s, _AMOUNT_BELOW]:
        return False
    for c in range(CONDITIONS_MAX):
        at = _CONDITIONS + c * CONDITION_COLUMNS
        mode = slots[s, at + _MODE]
        if mode == NO_CONDITION:
            return True
        word, shift, mask = slots[s, at + _WORD], slots[s, at + _SHIFT], slots[s, at + _MASK]
        wanted = slots[s, at + _VALUE]
        if mode == SAME_AS_OWN:
            wanted = (records[own, word] >> shift) & mask
            if wanted == 0 and mask == -1:
                return False  # the payment at hand has no such entity
        if (records[i, word] >> shift) & mask != wanted:
            return False
    return True


@kernel
def _aggregate(times: Integers, amounts: Integers, frauds: Integers, after: int, to: int, gathered: Floats) -> None:
    """Fill in what needs one look at each payment in (after, to]; without branches, so that it is vectorized."""
    count, total, found, newest_fraud = 0, 0, 0, NEVER_US
    smallest, largest, newest, oldest = UNBOUNDED, -1, NEVER_US, UNBOUNDED
    for j in range(times.shape[0]):
        inside = (times[j] > after) & (times[j] <= to)
        count += inside
        total += amounts[j] if inside else 0
        smallest = min(smallest, amounts[j] if inside else UNBOUNDED)
        largest = max(largest, amounts[j] if inside else -1)
        newest = max(newest, times[j] if inside else NEVER_US)
        oldest = min(oldest, times[j] if inside else UNBOUNDED)
        found += frauds[j] if inside else 0
        newest_fraud = max(newest_fraud, times[j] if inside & (frauds[j] == 1) else NEVER_US)
    gathered[COUNT], gathered[SUM], gathered[FRAUDS] = count, total, found
    gathered[MIN], gathered[MAX] = smallest, largest
    gathered[NEWEST], gathered[OLDEST], gathered[NEWEST_FRAUD] = newest, oldest, newest_fraud


@kernel
def _squares(times: Integers, amounts: Integers, after: int, to: int, mean: float) -> float:
    """Return the squared distances to the mean, in a second pass: nothing cancels out."""
    squares = 0.0
    for j in range(times.shape[0]):
        if after < times[j] <= to:
            squares += (amounts[j] - mean) ** 2
    return squares


@kernel
def _streak(times: Integers, frauds: Integers, after: int, to: int) -> int:
    """Return how many payments in (after, to] came behind the newest one that is not known to be fraud."""
    newest, streak = after, 0
    for j in range(times.shape[0]):
        newest = max(newest, times[j] if (times[j] > after) & (times[j] <= to) & (frauds[j] == 0) else after)
    for j in range(times.shape[0]):
        streak += (times[j] > newest) & (times[j] <= to)
    return streak


@kernel
def _is_new(seen: Integers, filled: Integers, table: int, question: int, value: int) -> bool:
    """Put `value` into a set that belongs to `question`; tell whether it was not there."""
    last = seen.shape[1] - 1
    place = np.int64((np.uint64(value) * _SPREAD) >> np.uint64(32)) & last
    while filled[table, place] == question:
        if seen[table, place] == value:
            return False
        place = (place + 1) & last
    filled[table, place], seen[table, place] = question, value
    return True


@kernel
def _collect(  # noqa: PLR0913, PLR0917 - flat arrays are what compiles well
    records: Records,
    first: int,
    times: Integers,
    after: int,
    to: int,
    slots: Integers,
    s: int,
    scratch: Scratch,
    question: int,
) -> int:
    """List the amounts in (after, to] and count the different values, as far as slot `s` asks for them.

    first: row of the first of `times`, or -1 where the scratch tells the rows.
    """
    seen, filled, lists, lengths = scratch.seen, scratch.filled, scratch.lists, scratch.lengths
    row, table, listed, distinct = slots[s, _AMOUNTS_ROW], slots[s, _DISTINCT_TABLE], 0, 0
    word, shift, mask = slots[s, _DISTINCT_WORD], slots[s, _DISTINCT_SHIFT], slots[s, _DISTINCT_MASK]
    for j in range(times.shape[0]):
        if after < times[j] <= to:
            i = first + j if first >= 0 else scratch.rows[j]
            if row >= 0:
                lists[row, listed] = records[i, AMOUNT]
                listed += 1
            if table >= 0:
                value = (records[i, word] >> shift) & mask
                # 0 stands for no such entity; as a category's code it is a value.
                distinct += (value != 0 or mask != -1) and _is_new(seen, filled, table, question, value)
    if row >= 0:
        lengths[row] = listed
    return distinct


@kernel
def _narrow(  # noqa: PLR0913, PLR0917 - as above
    records: Records, marks: Marks, begin: int, own: int, slots: Integers, s: int, frauds: Integers, scratch: Scratch
) -> int:
    """Put what passes the filters of slot `s` into the scratch; return how many that are."""
    after = marks.times_us[own] - slots[s, _DELAY_US] - slots[s, _LENGTH_US]
    count = 0
    for i in range(begin, own + 1):
        if marks.times_us[i] > after and _passes(records, i, own, slots, s):
            scratch.rows[count], scratch.times[count] = i, marks.times_us[i]
            scratch.amounts[count], scratch.narrow_frauds[count] = marks.amounts[i], frauds[i - begin]
            count += 1
    return count


@kernel
def _fill(  # noqa: PLR0913, PLR0917 - as above
    records: Records,
    marks: Marks,
    begin: int,
    own: int,
    slots: Integers,
    gathered: Floats,
    scratch: Scratch,
    frauds: Integers,
    question: int,
) -> None:
    """Fill in every slot from the payments in rows `begin` to `own`."""
    all_times, all_amounts = marks.times_us[begin : own + 1], marks.amounts[begin : own + 1]
    for s in range(slots.shape[0]):
        times, amounts, known = all_times, all_amounts, frauds
        if slots[s, _IS_NARROWED]:
            count = _narrow(records, marks, begin, own, slots, s, frauds, scratch)
            times, amounts, known = scratch.times[:count], scratch.amounts[:count], scratch.narrow_frauds[:count]
            is_own_last = count > 0 and scratch.rows[count - 1] == own
        else:
            is_own_last = True
        if slots[s, _PAST_ONLY] and is_own_last:
            times, amounts, known = times[:-1], amounts[:-1], known[:-1]
        to = marks.times_us[own] - slots[s, _DELAY_US]
        after = to - slots[s, _LENGTH_US]
        _aggregate(times, amounts, known, after, to, gathered[s])
        if slots[s, _NEEDS_MOMENTS] and gathered[s, COUNT] > 0:
            mean = gathered[s, SUM] / gathered[s, COUNT]
            gathered[s, MEAN], gathered[s, SQUARES] = mean, _squares(times, amounts, after, to, mean)
        if slots[s, _NEEDS_STREAK]:
            gathered[s, STREAK] = _streak(times, known, after, to)
        if slots[s, _DISTINCT_TABLE] >= 0 or slots[s, _AMOUNTS_ROW] >= 0:
            first = -1 if slots[s, _IS_NARROWED] else begin
            gathered[s, DISTINCT] = _collect(records, first, times, after, to, slots, s, scratch, question)


@kernel
def gather(  # noqa: PLR0913, PLR0917 - as above
    records: Records,
    marks: Marks,
    segment: int,
    begin: int,
    own: int,
    slots: Integers,
    gathered: Floats,
    scratch: Scratch,
    question: int,
) -> int:
    """Fill `gathered`, shape (slots, GATHERED), for the payment in row `own`, from the rows of its entity, `segment`.

    Returns the newest event time among the payments before it.
    """
    time_us, newest_before = records[own, TIME], marks.watermarks_us[segment]
    before = marks.times_us[begin:own]
    for j in range(before.shape[0]):
        newest_before = max(newest_before, before[j])
    frauds = scratch.none[: own + 1 - begin]
    if marks.has_labels[segment]:
        frauds = scratch.frauds[: own + 1 - begin]
        for i in range(begin, own + 1):
            known = marks.labels[i] >= 0 and marks.times_us[i] != NEVER_US
            frauds[i - begin] = _known_fraud(records, marks.labels, i, own, time_us) if known else 0
    # In its own window a payment counts, however late it is.
    counted_us, marks.times_us[own], marks.amounts[own] = marks.times_us[own], time_us, records[own, AMOUNT]
    _fill(records, marks, begin, own, slots, gathered, scratch, frauds, question)
    if marks.watermarks_us[segment] != NEVER_US:
        add_folded(records, marks, begin, own, marks.watermarks_us[segment], slots, gathered)
    marks.times_us[own] = counted_us
    return int(newest_before)
