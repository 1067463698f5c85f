"""From payments to vectors, without I/O: what to append and read, and what the bytes that come back mean.

The features service and the scoring service's REST path both go through here.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from shared.contracts.events import Transaction
from shared.features.arrivals import answer
from shared.features.definitions import FeatureSet
from shared.features.marks import Marks
from shared.features.program import compiled
from shared.features.state import (
    EVENT,
    LABEL_KIND,
    ORIGIN,
    RECORD_BYTES,
    TIME,
    Append,
    Records,
    microseconds,
    payment_records,
    records_of,
)
from shared.features.tiles import LATENESS, Keeper
from shared.features.values import Questions


class Arrival(NamedTuple):
    """A payment and where it came from (see state.log_origin, state.REST_ORIGIN)."""

    payment: Transaction
    origin: int


class Plan(NamedTuple):
    """What the store must do for a batch of arrivals: append, then return the values of `reads`.

    segments: shape (arrivals, entities): for each payment and entity the place of its key in `reads`, or -1.
    events, origins: shape (arrivals,): hash of each payment's event id, and where it came from.
    oldest_us: event time of the oldest arrival, in microseconds.
    """

    arrivals: Sequence[Arrival]
    appends: list[Append]
    reads: list[str]
    segments: npt.NDArray[np.int64]
    events: npt.NDArray[np.int64]
    origins: npt.NDArray[np.int64]
    oldest_us: int


class Vectors(NamedTuple):
    """The answer to a batch of n arrivals.

    values: shape (n, features), float64, amounts in minor units.
    is_fresh: shape (n,): False where the log had delivered the payment before, at another place.
    late_us: shape (n,): by how much an entity's newest payment was ahead of this one; 0 where none was.
    outdated: shape (n,): how many payments would have got other vectors, had this one come in time.
    is_uncounted: shape (n,): True where it came too late to count in later vectors (see tiles).
    is_labelled: shape (n,): True where a label arrived before its payment.
    """

    values: npt.NDArray[np.float64]
    is_fresh: npt.NDArray[np.bool_]
    late_us: npt.NDArray[np.int64]
    outdated: npt.NDArray[np.int64]
    is_uncounted: npt.NDArray[np.bool_]
    is_labelled: npt.NDArray[np.bool_]


class FeatureEngine:
    """Computes one feature set."""

    def __init__(self, feature_set: FeatureSet) -> None:
        self.feature_set = feature_set
        self.entities = feature_set.entities
        self.state_lifetime = feature_set.longest_horizon + LATENESS
        self._keepers = {entity.value: Keeper(feature_set.horizon(entity)) for entity in self.entities}
        self._program = compiled(feature_set)
        # Compiles the kernels now, or loads them from numba's cache, rather than under the first payment.
        self.vectors(self.plan([]), [])

    def plan(self, arrivals: Sequence[Arrival], *, before: Mapping[int, Sequence[Append]] = {}) -> Plan:
        """Return what to append and read for `arrivals`, which are in order of arrival.

        before: what else to append, by how many arrivals come before it.
        """
        appends: list[Append] = []
        places: dict[str, int] = {}
        segments: list[int] = []
        events: list[int] = []
        for at, (payment, origin) in enumerate(arrivals):
            appends += before.get(at, ())
            records = payment_records(payment, origin=origin, entities=self.entities)
            events.append(records.event)
            for append in records.appends:
                if append is None:
                    segments.append(-1)
                else:
                    appends.append(append)
                    segments.append(places.setdefault(append[0], len(places)))
        appends += before.get(len(arrivals), ())
        return Plan(
            arrivals,
            appends,
            list(places),
            np.array(segments, dtype=np.int64).reshape(len(arrivals), len(self.entities)),
            np.array(events, dtype=np.int64),
            np.array([origin for _, origin in arrivals], dtype=np.int64),
            microseconds(min(payment.occurred_at for payment, _ in arrivals)) if arrivals else 0,
        )

    def vectors(self, plan: Plan, values: Sequence[bytes]) -> Vectors:
        """Return the vectors of a plan's arrivals from the values the store returned for its reads.

        Raises:
            ValueError: a value is not packed records, or a payment is not in the state it was appended to.
        """
        records = records_of(b"".join(values))
        ends = np.array(list(itertools.accumulate(map(len, values))), dtype=np.int64) // RECORD_BYTES
        answered, marks, questions = answer(records, ends, plan.segments, plan.events, self._program)
        is_late = answered.late_us > 0
        return Vectors(
            values=answered.values,
            is_fresh=answered.first_origins == plan.origins,
            late_us=answered.late_us,
            outdated=self._outdated(records, marks, questions, is_late)
            if is_late.any()
            else np.zeros_like(plan.events),
            is_uncounted=answered.is_uncounted,
            is_labelled=answered.is_labelled,
        )

    def rewritten(self, key: str, value: bytes, *, asked_us: int) -> bytes | None:
        """Return a smaller state in the place of `value`, or None while it is not worth rewriting (see tiles).

        asked_us: event time from which vectors may still be asked for (again), in microseconds: Plan.oldest_us.
        """
        return self._keepers[key.split(":")[1]].rewritten(value, asked_us=asked_us)

    def _outdated(
        self, records: Records, marks: Marks, questions: Questions, is_late: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.int64]:
        """Return how many different payments had been answered that each late payment should have been known to."""
        outdated = np.zeros(len(is_late), dtype=np.int64)
        for q in np.flatnonzero(is_late):
            found = []
            for begin, own, horizon_us in zip(
                questions.begins[q], questions.owns[q], self._program.horizons_us, strict=True
            ):
                if own >= 0:
                    before = records[begin:own]
                    later = before[:, TIME] - records[own, TIME]
                    is_payment = marks.is_first[begin:own] & (before[:, ORIGIN] < LABEL_KIND)
                    found.append(before[is_payment & (later > 0) & (later <= horizon_us), EVENT])
            outdated[q] = len(np.unique(np.concatenate(found)))
        return outdated
