"""Quix Streams: its RocksDB state, through the `State` that a stateful function gets, without broker or changelog.

An entity's events are one value, packed, as its JSON values take twice the time; running sums with a key for each
event were slower than either, as every access costs some microseconds.
"""

import tempfile
import time
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence

from quixstreams.state.base import State  # type: ignore[import-not-found]
from quixstreams.state.rocksdb import RocksDBStore  # type: ignore[import-not-found]

from tests.benchmarks.feature_peers.own_venv import report
from tests.benchmarks.feature_peers.workload import COMPARED, WINDOWS, EntityWindows, Payment, PeerResult, Vector

CHECKPOINT_PAYMENTS = 10_000
"""Written to disk this often: some seconds' worth, as with the `commit_interval` of 5 s it comes with."""


def slide(state: State, windows: EntityWindows, at_ms: int, amount_cents: int) -> Vector:
    """Apply one event to an entity's state, and return its values."""
    packed = array("q", state.get_bytes("events", b""))
    half = len(packed) // 2
    times_ms, amounts_cents = packed[:half], packed[half:]
    first = bisect_right(times_ms, at_ms - windows.windows_ms[-1])
    del times_ms[:first], amounts_cents[:first]
    times_ms.append(at_ms)
    amounts_cents.append(amount_cents)
    state.set_bytes("events", (times_ms + amounts_cents).tobytes())
    vector: Vector = []
    for window_ms in windows.windows_ms:
        first = bisect_right(times_ms, at_ms - window_ms)
        count = len(times_ms) - first
        if windows.aggregates == ("count",):
            vector.append(count)
            continue
        within = amounts_cents[first:]
        if windows.aggregates == ("count", "mean"):
            vector += [count, sum(within) / count]
        else:
            vector += [count, sum(within), max(within)]
    return vector


def run(payments: Sequence[Payment]) -> PeerResult:
    """Apply every payment in order, on one partition."""
    last: deque[Vector] = deque(maxlen=COMPARED)
    with tempfile.TemporaryDirectory() as folder:
        store = RocksDBStore("default", "payments", folder)
        store.assign_partition(0)
        started = time.perf_counter()
        for start in range(0, len(payments), CHECKPOINT_PAYMENTS):
            with store.start_partition_transaction(0) as transaction:
                for payment in payments[start : start + CHECKPOINT_PAYMENTS]:
                    vector: Vector = []
                    for windows in WINDOWS:
                        state = transaction.as_state(getattr(payment, windows.entity))
                        vector += slide(state, windows, payment.at_ms, payment.amount_cents)
                    last.append(vector)
        seconds = time.perf_counter() - started
        store.revoke_partition(0)
    return PeerResult(len(payments), seconds, list(last))


if __name__ == "__main__":
    report(run)
