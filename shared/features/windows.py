"""Window arithmetic over packed state, compiled: one pass over an entity's records for all of its windows.

A payment's vector depends on the records up to and including its own, in order of arrival, and of these only on
those at or before its event time. Anything that arrived later cannot change it.
"""

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from shared.features.state import AMOUNT, EVENT, LABEL_ORIGINS_FROM, ORIGIN, REST_ORIGIN, SUBJECT, TIME, Records

Integers = npt.NDArray[np.int64]

# Multiplier of Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4); keys are hashes already.
_SPREAD = np.uint64(0x9E3779B97F4A7C15)


class Slots(NamedTuple):
    """The distinct windows asked of one kind of entity; each array has one element a window.

    A window is (t - delay - length, t - delay], in microseconds.
    """

    lengths_us: Integers
    delays_us: Integers


class Aggregates(NamedTuple):
    """What was found for each of q questions and s windows.

    counts, amounts, frauds: shape (q, s): payments, their summed amount in minor units, and how many were known by
        then to be fraud.
    first_origins: shape (q,): where the log first delivered the asked-for payment.
    newest_before_us: shape (q,): newest event time among the payments that arrived before it.
    labelled_before: shape (q,): 1 where a label of the payment arrived before it.
    """

    counts: Integers
    amounts: Integers
    frauds: Integers
    first_origins: Integers
    newest_before_us: Integers
    labelled_before: Integers


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _find(keys: Integers, records: Records, column: int, wanted: int) -> int:
    """Return the place of `wanted` in an open-addressing table of row numbers, or of the free place for it."""
    mask = keys.shape[0] - 1
    place = np.int64((np.uint64(wanted) * _SPREAD) >> np.uint64(32)) & mask
    while keys[place] >= 0 and records[keys[place], column] != wanted:
        place = (place + 1) & mask
    return int(place)


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _own_place(records: Records, event: int) -> tuple[int, int]:
    """Return the row in which a payment first stands, and the origin under which the log first delivered it (or -1)."""
    own = -1
    for i in range(records.shape[0]):
        if records[i, EVENT] == event and records[i, ORIGIN] < LABEL_ORIGINS_FROM:
            if own < 0:
                own = i
            if records[i, ORIGIN] != REST_ORIGIN:
                return own, int(records[i, ORIGIN])
    return own, -1


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _known_labels(records: Records, own: int, time_us: int, size: int) -> tuple[Integers, int]:
    """Return a table of the labels known at `time_us`, by payment, and whether one of row `own` came before it."""
    labelled = np.full(size, -1, dtype=np.int64)
    labelled_before = 0
    for i in range(own):
        if records[i, ORIGIN] < LABEL_ORIGINS_FROM:
            continue
        if records[i, SUBJECT] == records[own, SUBJECT]:
            labelled_before = 1
        if records[i, TIME] > time_us:
            continue
        place = _find(labelled, records, SUBJECT, records[i, SUBJECT])
        held = labelled[place]
        # Of several labels of one payment, the one that became known last holds; at the same instant, fraud does.
        if held < 0 or (records[held, TIME], records[held, AMOUNT]) < (records[i, TIME], records[i, AMOUNT]):
            labelled[place] = i
    return labelled, labelled_before


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _aggregate_one(  # noqa: PLR0913, PLR0917 - flat arrays are what compiles well
    records: Records,
    event: int,
    time_us: int,
    lengths_us: Integers,
    delays_us: Integers,
    counts: Integers,
    amounts: Integers,
    frauds: Integers,
) -> tuple[int, int, int]:
    """Fill one row of each output; return (first log origin, newest time before, labelled before)."""
    own, first_origin = _own_place(records, event)
    size = 16
    while size < 2 * (own + 2):
        size *= 2
    labelled, labelled_before = _known_labels(records, own, time_us, size)
    seen = np.full(size, -1, dtype=np.int64)
    newest_before = -(2**62)
    for i in range(own + 1):
        if records[i, ORIGIN] >= LABEL_ORIGINS_FROM:
            continue
        place = _find(seen, records, EVENT, records[i, EVENT])
        if seen[place] >= 0:
            continue
        seen[place] = i
        happened = records[i, TIME]
        if i != own and happened > newest_before:
            newest_before = happened
        for s in range(lengths_us.shape[0]):
            end = time_us - delays_us[s]
            if end - lengths_us[s] < happened <= end:
                counts[s] += 1
                amounts[s] += records[i, AMOUNT]
                label = labelled[_find(labelled, records, SUBJECT, records[i, SUBJECT])]
                if label >= 0:
                    frauds[s] += records[label, AMOUNT]
    return first_origin, int(newest_before), labelled_before


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _aggregate_all(  # noqa: PLR0913, PLR0917 - flat arrays are what compiles well
    records: Records,
    starts: Integers,
    ends: Integers,
    entities: Integers,
    events: Integers,
    times_us: Integers,
    lengths_us: Integers,
    delays_us: Integers,
) -> tuple[Integers, Integers, Integers, Integers, Integers, Integers]:
    questions, slots = events.shape[0], lengths_us.shape[0]
    counts = np.zeros((questions, slots), dtype=np.int64)
    amounts = np.zeros((questions, slots), dtype=np.int64)
    frauds = np.zeros((questions, slots), dtype=np.int64)
    origins = np.zeros(questions, dtype=np.int64)
    newest = np.zeros(questions, dtype=np.int64)
    labelled = np.zeros(questions, dtype=np.int64)
    for q in range(questions):
        own_records = records[starts[entities[q]] : ends[entities[q]]]
        origins[q], newest[q], labelled[q] = _aggregate_one(
            own_records, events[q], times_us[q], lengths_us, delays_us, counts[q], amounts[q], frauds[q]
        )
    return counts, amounts, frauds, origins, newest, labelled


def aggregate(
    records: Records, ends: Integers, entities: Integers, events: Integers, times_us: Integers, slots: Slots
) -> Aggregates:
    """Answer every question of a batch.

    records: the states of n entities, one behind the other.
    ends: shape (n,): where each entity's state ends in `records`.
    entities, events, times_us: shape (q,): which entity, which payment (hash of its event id), and its event time.
    """
    starts = np.concatenate((np.zeros(1, dtype=np.int64), ends[:-1]))
    return Aggregates(*_aggregate_all(records, starts, ends, entities, events, times_us, *slots))
