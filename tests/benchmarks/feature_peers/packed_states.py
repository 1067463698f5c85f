"""Rejected: MGET of packed states, compiled arithmetic in the process, MSET.

The fewest commands of all, but two writers of one entity lose each other's payments, and a busy merchant's whole state
travels both ways at every batch. MSET sets no time to live, and repeated payments are counted again.
"""

from collections.abc import Sequence

import numba
import numpy as np
import numpy.typing as npt

from tests.benchmarks.feature_peers.server import Connection, timed
from tests.benchmarks.feature_peers.workload import WINDOWS, EntityWindows, Payment, PeerResult, Vector

Int64s = npt.NDArray[np.int64]

_AGGREGATE_CODE = {"count": 0, "sum": 1, "mean": 2, "max": 3}
_LAYOUTS: list[tuple[EntityWindows, Int64s, Int64s]] = [
    (
        windows,
        np.array(windows.windows_ms, dtype=np.int64),
        np.array([_AGGREGATE_CODE[aggregate] for aggregate in windows.aggregates], dtype=np.int64),
    )
    for windows in WINDOWS
]


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def slide(events: Int64s, first_new: int, windows_ms: Int64s, aggregates: Int64s) -> npt.NDArray[np.float64]:
    """Return the values as of each new event.

    events: of shape (events, 2), milliseconds and cents, in order of time, the new ones from `first_new` on.
    windows_ms: rising. The result has one row for each new event, window by window.
    """
    values = np.empty((len(events) - first_new, len(windows_ms) * len(aggregates)))
    for row in range(len(values)):
        newest = first_new + row
        at_ms = events[newest, 0]
        index, count, total, largest = newest, 0, 0, 0
        column = 0
        for window_ms in windows_ms:
            while index >= 0 and events[index, 0] > at_ms - window_ms:
                count += 1
                total += events[index, 1]
                largest = max(largest, events[index, 1])
                index -= 1
            for aggregate in aggregates:
                if aggregate == 0:
                    values[row, column] = count
                elif aggregate == 1:
                    values[row, column] = total
                elif aggregate == 2:
                    values[row, column] = total / count
                else:
                    values[row, column] = largest
                column += 1
    return values


def run(payments: Sequence[Payment], redis_url: str) -> PeerResult:
    """Apply every payment in order, on an emptied server; compiling is not counted."""
    connection = Connection(redis_url)
    connection.call([("FLUSHALL",)])
    for _, windows_ms, aggregates in _LAYOUTS:
        slide(_unpacked(_packed([payments[0]])), 0, windows_ms, aggregates)
    try:
        return timed(lambda batch: _apply(connection, batch), payments)
    finally:
        connection.close()


def _apply(connection: Connection, batch: Sequence[Payment]) -> list[Vector]:
    own: dict[str, list[Payment]] = {}
    for windows in WINDOWS:
        for payment in batch:
            own.setdefault(getattr(payment, windows.entity), []).append(payment)
    states = dict(zip(own, connection.call([("MGET", *own)])[0], strict=True))
    vectors: dict[int, Vector] = {payment.number: [] for payment in batch}
    written: list[str | bytes] = ["MSET"]
    for windows, windows_ms, aggregates in _LAYOUTS:
        for key in dict.fromkeys(getattr(payment, windows.entity) for payment in batch):
            state = states[key] or b""
            events = _unpacked(state + _packed(own[key]))
            first_new = len(events) - len(own[key])
            for payment, values in zip(
                own[key], slide(events, first_new, windows_ms, aggregates).tolist(), strict=True
            ):
                vectors[payment.number] += values
            first_kept = np.searchsorted(events[:, 0], events[-1, 0] - windows_ms[-1], side="right")
            written += [key, events[first_kept:].tobytes()]
    connection.call([tuple(written)])
    return list(vectors.values())


def _packed(payments: Sequence[Payment]) -> bytes:
    return np.array([(payment.at_ms, payment.amount_cents) for payment in payments], dtype=np.int64).tobytes()


def _unpacked(state: bytes) -> Int64s:
    return np.frombuffer(state, dtype=np.int64).reshape(-1, 2)
