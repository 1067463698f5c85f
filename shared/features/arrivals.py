"""Payments that have just been appended to states: where they stand, and what is asked about them, compiled."""

from typing import NamedTuple

import numpy as np

from shared.features.kernel import kernel
from shared.features.marks import Booleans, Marks, mark
from shared.features.program import Floats, Integers, Program
from shared.features.state import EVENT, LABEL_KIND, ORIGIN, REST_ORIGIN, TIME, Records
from shared.features.values import Questions, evaluate


class Answered(NamedTuple):
    """About each of q payments, with e entities.

    values: shape (q, features).
    first_origins: shape (q,): where the log first delivered it; -1 where only a REST call has so far.
    late_us: shape (q,): by how much a payment that arrived before was ahead in event time; 0 where none was.
    is_uncounted: shape (q,): True where one of its entities has folded newer payments into tiles.
    is_labelled: shape (q,): True where a label stands before its payment.
    """

    values: Floats
    first_origins: Integers
    late_us: Integers
    is_uncounted: Booleans
    is_labelled: Booleans


@kernel
def _locate(
    records: Records, ends: Integers, segments: Integers, events: Integers, is_first: Booleans
) -> tuple[Questions, Integers]:
    """Return the questions about payments by the hash of their event id, and where the log first delivered each."""
    asked, entities = segments.shape
    begins = np.zeros((asked, entities), dtype=np.int64)
    owns = np.full((asked, entities), -1, dtype=np.int64)
    first_origins = np.full(asked, -1, dtype=np.int64)
    for q in range(asked):
        for e in range(entities):
            segment = segments[q, e]
            if segment < 0:
                continue
            begins[q, e] = ends[segment - 1] if segment else 0
            # From the end, where it was just appended; a copy that arrived earlier is the one that counts.
            for i in range(ends[segment] - 1, begins[q, e] - 1, -1):
                if records[i, EVENT] == events[q] and records[i, ORIGIN] < LABEL_KIND:
                    if e == 0 and records[i, ORIGIN] != REST_ORIGIN:
                        first_origins[q] = records[i, ORIGIN]
                    if is_first[i]:
                        owns[q, e] = i
                        break
            if owns[q, e] < 0:
                raise ValueError("a payment is missing from the state that it was just appended to")
    return Questions(segments, begins, owns), first_origins


@kernel
def _is_labelled(marks: Marks, own: int) -> bool:
    label = marks.labels[own]
    while label >= 0:
        if label < own:
            return True
        label = marks.labels[label]
    return False


@kernel
def answer(
    records: Records, ends: Integers, segments: Integers, events: Integers, program: Program
) -> tuple[Answered, Marks, Questions]:
    """Answer every payment of a batch.

    records: shape (n, WORDS): states, one behind the other; ends: shape (states,): the row behind each.
    segments: shape (q, e): which state holds each entity of a payment, or -1 where it has none; the card's is first.
    events: shape (q,): hash of each payment's event id; it stands in each of its states.

    Raises:
        ValueError: it does not.
    """
    marks = mark(records, ends)
    questions, first_origins = _locate(records, ends, segments, events, marks.is_first)
    found = evaluate(records, marks, program, questions)
    asked, entities = segments.shape
    late_us = np.zeros(asked, dtype=np.int64)
    is_uncounted = np.zeros(asked, dtype=np.bool_)
    is_labelled = np.zeros(asked, dtype=np.bool_)
    for q in range(asked):
        time_us = records[questions.owns[q, 0], TIME]
        is_labelled[q] = _is_labelled(marks, questions.owns[q, 0])
        for e in range(entities):
            late_us[q] = max(late_us[q], found.newest_before_us[q, e] - time_us)
            segment = segments[q, e]
            is_uncounted[q] |= segment >= 0 and time_us <= marks.watermarks_us[segment]
    answered = Answered(found.values, first_origins, late_us, is_uncounted, is_labelled)
    return answered, marks, questions
