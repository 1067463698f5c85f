"""From what was gathered over the windows to the vector's values, compiled."""

import math
from typing import NamedTuple

import numpy as np

from shared.features.definitions import OUTLIER_ROBUST_Z, Aggregation, Category, RowFunction
from shared.features.kernel import kernel
from shared.features.marks import NEVER_US, Marks
from shared.features.program import (
    CODES_OF,
    COUNT,
    DISTINCT,
    EMPTY,
    FRAUDS,
    GATHERED,
    MAX,
    MIN,
    NEWEST,
    NEWEST_FRAUD,
    OLDEST,
    SQUARES,
    STREAK,
    SUM,
    TILED,
    Floats,
    Integers,
    Program,
    Slot,
)
from shared.features.state import AMOUNT, TIME, Records
from shared.features.windows import Scratch, gather

# numba knows plain integers only.
_COUNT, _SUM, _MEAN = CODES_OF[Aggregation.COUNT], CODES_OF[Aggregation.SUM], CODES_OF[Aggregation.MEAN]
_DEVIATION, _MIN, _MAX = CODES_OF[Aggregation.DEVIATION], CODES_OF[Aggregation.MIN], CODES_OF[Aggregation.MAX]
_DISTINCT, _SHARE = CODES_OF[Aggregation.DISTINCT], CODES_OF[Aggregation.SHARE]
_FRAUD_COUNT, _FRAUD_RATE = CODES_OF[Aggregation.FRAUD_COUNT], CODES_OF[Aggregation.FRAUD_RATE]
_OUTLIERS, _SINCE_LAST = CODES_OF[Aggregation.OUTLIERS], CODES_OF[Aggregation.SINCE_LAST]
_SINCE_FIRST, _SINCE_FRAUD = CODES_OF[Aggregation.SINCE_FIRST], CODES_OF[Aggregation.SINCE_FRAUD]
_FRAUD_STREAK = CODES_OF[Aggregation.FRAUD_STREAK]
_RATIO, _Z_SCORE, _ROBUST_Z = CODES_OF[Aggregation.RATIO], CODES_OF[Aggregation.Z_SCORE], CODES_OF[Aggregation.ROBUST_Z]
_AMOUNT, _WEEKEND, _NIGHT = (CODES_OF[f] for f in (RowFunction.AMOUNT, RowFunction.WEEKEND, RowFunction.NIGHT))
_HOUR_SINE, _HOUR_COSINE = CODES_OF[RowFunction.HOUR_SINE], CODES_OF[RowFunction.HOUR_COSINE]
_WEEKDAY_SINE, _WEEKDAY_COSINE = CODES_OF[RowFunction.WEEKDAY_SINE], CODES_OF[RowFunction.WEEKDAY_COSINE]
_CATEGORY = CODES_OF[Category]
_LENGTH_US, _DELAY_US = int(Slot.LENGTH_US), int(Slot.DELAY_US)
_DISTINCT_TABLE, _AMOUNTS_ROW = int(Slot.DISTINCT_TABLE), int(Slot.AMOUNTS_ROW)

_SECOND_US = 1_000_000
_DAY_US = 86_400 * _SECOND_US
_NIGHT_ENDS_US = 7 * 3_600 * _SECOND_US
_SATURDAY = 5
_EPOCH_WEEKDAY = 3
"""1970-01-01 was a Thursday; Monday is 0."""
_MAD_TO_DEVIATION = 1.4826
"""Of a normal distribution, the standard deviation over the median absolute deviation."""
_SPREAD_MIN = 1.0
"""Amounts that never differed still may by a minor unit: keeps z-scores finite."""


class Questions(NamedTuple):
    """What is asked about q payments, each with e entities.

    segments: shape (q, e): which entity's records, or -1 where the payment has none.
    begins: shape (q, e): the first row to look at. owns: shape (q, e): the row in which the payment first stands.
    """

    segments: Integers
    begins: Integers
    owns: Integers


class Answers(NamedTuple):
    """What was found.

    values: shape (q, features).
    newest_before_us: shape (q, e): newest event time among the entity's payments that arrived before.
    """

    values: Floats
    newest_before_us: Integers


@kernel
def _row_value(operation: int, amount: int, time_us: int) -> float:  # noqa: PLR0911 - one return a function
    time_of_day = 2 * math.pi * (time_us % _DAY_US) / _DAY_US
    weekday = (time_us // _DAY_US + _EPOCH_WEEKDAY) % 7
    if operation == _AMOUNT:
        return float(amount)
    if operation == _WEEKEND:
        return 1.0 if weekday >= _SATURDAY else 0.0
    if operation == _NIGHT:
        return 1.0 if time_us % _DAY_US < _NIGHT_ENDS_US else 0.0
    if operation == _HOUR_SINE:
        return math.sin(time_of_day)
    if operation == _HOUR_COSINE:
        return math.cos(time_of_day)
    if operation == _WEEKDAY_SINE:
        return math.sin(2 * math.pi * weekday / 7)
    return math.cos(2 * math.pi * weekday / 7)


@kernel
def _center_and_spread(amounts: Floats) -> tuple[float, float]:
    """Return the median, and the median absolute deviation as a standard deviation; sorts `amounts` in place."""
    amounts.sort()
    count = amounts.shape[0]
    median = (amounts[(count - 1) // 2] + amounts[count // 2]) / 2.0
    # Distances to the median grow outwards from it: those of the nearer half are met by walking both ways.
    below, above = count // 2 - 1, count // 2
    distance = nearer = 0.0
    for _ in range(count // 2 + 1):
        nearer = distance
        if above >= count or (below >= 0 and median - amounts[below] <= amounts[above] - median):
            distance = median - amounts[below]
            below -= 1
        else:
            distance = amounts[above] - median
            above += 1
    deviation = (nearer + distance) / 2.0 if count % 2 == 0 else distance
    return median, max(_MAD_TO_DEVIATION * deviation, _SPREAD_MIN)


@kernel
def _compared(operation: int, amount: int, found: Floats, amounts: Floats) -> float:
    """Return how the payment's amount compares with those before it."""
    if found[COUNT] == 0.0:
        return 0.0
    mean = found[SUM] / found[COUNT]
    if operation == _RATIO:
        return float(amount / mean) if mean > 0.0 else 0.0
    if operation == _Z_SCORE:
        deviation = math.sqrt(max(found[SQUARES], 0.0) / found[COUNT])
        return float((amount - mean) / max(deviation, _SPREAD_MIN))
    if amounts.shape[0] == 0:
        return 0.0
    median, spread = _center_and_spread(amounts)
    return float((amount - median) / spread)


@kernel
def _outliers(amounts: Floats, reference: Floats) -> float:
    if reference.shape[0] == 0:
        return 0.0
    median, spread = _center_and_spread(reference)
    return float(np.sum(np.abs(amounts - median) > OUTLIER_ROBUST_Z * spread))


@kernel
def _since(then_us: float, time_us: int) -> float:
    return float((time_us - then_us) / _SECOND_US)


@kernel
def _mean_or_extreme(operation: int, found: Floats, whole: Floats, time_us: int) -> float:  # noqa: PLR0911 - as above
    """Return the value of a window that is not empty."""
    count = found[COUNT]
    if operation == _MEAN:
        return float(found[SUM] / count)
    if operation == _DEVIATION:
        return math.sqrt(max(found[SQUARES], 0.0) / count)
    if operation == _MIN:
        return float(found[MIN])
    if operation == _MAX:
        return float(found[MAX])
    if operation == _SHARE:
        # What is narrowed sees no tiles, so neither may what it is a share of.
        return float(count / (whole[COUNT] - whole[TILED]))
    if operation == _FRAUD_RATE:
        return float(found[FRAUDS] / count)
    return float(_since(found[OLDEST], time_us))


@kernel
def _window_value(  # noqa: PLR0911 - as above
    operation: int, found: Floats, whole: Floats, time_us: int, reach_us: int
) -> float:
    if operation == _COUNT:
        return float(found[COUNT])
    if operation == _SUM:
        return float(found[SUM])
    if operation == _DISTINCT:
        return float(found[DISTINCT])
    if operation == _FRAUD_COUNT:
        return float(found[FRAUDS])
    if operation == _FRAUD_STREAK:
        return float(found[STREAK])
    if operation == _SINCE_LAST:
        return float(_since(max(found[NEWEST], float(time_us - reach_us)), time_us))
    if operation == _SINCE_FRAUD:
        return float(_since(max(found[NEWEST_FRAUD], float(time_us - reach_us)), time_us))
    return _mean_or_extreme(operation, found, whole, time_us) if found[COUNT] > 0.0 else 0.0


@kernel
def _write_values(record: Integers, program: Program, gathered: Floats, scratch: Scratch, values: Floats) -> None:
    amount, time_us, slots = record[AMOUNT], record[TIME], program.slots
    for f in range(program.features.shape[0]):
        operation, first, second, mask = program.features[f]
        if operation == _CATEGORY:
            values[f] = (record[first] >> second) & mask
        elif first < 0:
            values[f] = _row_value(operation, amount, time_us)
        elif operation in (_RATIO, _Z_SCORE, _ROBUST_Z, _OUTLIERS):
            row = slots[first, _AMOUNTS_ROW]
            amounts = scratch.lists[row, : scratch.lengths[row]] if row >= 0 else scratch.lists[0, :0]
            if operation == _OUTLIERS:
                reference = slots[second, _AMOUNTS_ROW]
                values[f] = _outliers(amounts, scratch.lists[reference, : scratch.lengths[reference]])
            else:
                values[f] = _compared(operation, amount, gathered[first], amounts)
        else:
            whole = gathered[second] if second >= 0 else gathered[first]
            reach_us = slots[first, _LENGTH_US] + slots[first, _DELAY_US]
            values[f] = _window_value(operation, gathered[first], whole, time_us, reach_us)


@kernel
def _scratch(program: Program, questions: Questions) -> Scratch:
    longest, tables, rows = 1, 0, 0
    for q in range(questions.owns.shape[0]):
        for e in range(questions.owns.shape[1]):
            longest = max(longest, questions.owns[q, e] - questions.begins[q, e] + 1)
    for s in range(program.slots.shape[0]):
        tables += program.slots[s, _DISTINCT_TABLE] >= 0
        rows += program.slots[s, _AMOUNTS_ROW] >= 0
    size = 16
    while size < 2 * longest:
        size *= 2
    return Scratch(
        np.empty(longest, dtype=np.int64),
        np.zeros(longest, dtype=np.int64),
        np.empty(longest, dtype=np.int64),
        np.empty(longest, dtype=np.int64),
        np.empty(longest, dtype=np.int64),
        np.empty(longest, dtype=np.int64),
        np.empty((tables, size), dtype=np.int64),
        np.full((tables, size), -1, dtype=np.int64),
        np.empty((rows + 1, longest), dtype=np.float64),
        np.zeros(rows + 1, dtype=np.int64),
    )


@kernel
def evaluate(records: Records, marks: Marks, program: Program, questions: Questions) -> Answers:
    """Answer every question of a batch.

    records: shape (n, WORDS), the states of the entities one behind the other; marks: of these records.
    """
    asked, entities = questions.owns.shape
    values = np.empty((asked, program.features.shape[0]), dtype=np.float64)
    newest_before = np.full((asked, entities), NEVER_US, dtype=np.int64)
    gathered = np.empty((program.slots.shape[0], GATHERED), dtype=np.float64)
    scratch = _scratch(program, questions)
    for q in range(asked):
        scratch.lengths[:] = 0
        for e in range(entities):
            begin_slot, end_slot = (program.slot_ends[e - 1] if e else 0), program.slot_ends[e]
            for s in range(begin_slot, end_slot):
                gathered[s] = EMPTY
            segment = questions.segments[q, e]
            if segment >= 0:
                newest_before[q, e] = gather(
                    records,
                    marks,
                    segment,
                    questions.begins[q, e],
                    questions.owns[q, e],
                    program.slots[begin_slot:end_slot],
                    gathered[begin_slot:end_slot],
                    scratch,
                    q,
                )
        _write_values(records[questions.owns[q, 0]], program, gathered, scratch, values[q])
    return Answers(values, newest_before)
