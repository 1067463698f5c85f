"""River: one `utils.TimeRolling` for each entity, window and aggregate, as its documentation shows.

River can neither take events out of its count nor out of its maximum; both are written here as a user would, the
maximum with a deque of falling amounts.
"""

import datetime as dt
import time
from collections import deque
from collections.abc import Sequence

from river import stats, utils

from tests.benchmarks.feature_peers.own_venv import report
from tests.benchmarks.feature_peers.workload import COMPARED, WINDOWS, EntityWindows, Payment, PeerResult, Vector


class Count:
    """How many events."""

    def __init__(self) -> None:
        self._count = 0

    def update(self, x: int) -> None:  # noqa: ARG002 - River passes it
        self._count += 1

    def revert(self, x: int) -> None:  # noqa: ARG002 - River passes it
        self._count -= 1

    def get(self) -> float:
        return self._count


class Max:
    """The largest amount; TimeRolling reverts the oldest first."""

    def __init__(self) -> None:
        self._falling: deque[int] = deque()

    def update(self, x: int) -> None:
        while self._falling and self._falling[-1] < x:
            self._falling.pop()
        self._falling.append(x)

    def revert(self, x: int) -> None:
        if self._falling[0] == x:
            self._falling.popleft()

    def get(self) -> float:
        return self._falling[0]


STATISTICS = {"count": Count, "sum": stats.Sum, "mean": stats.Mean, "max": Max}


def rolling(windows: EntityWindows) -> list[utils.TimeRolling]:
    return [
        utils.TimeRolling(STATISTICS[aggregate], period=dt.timedelta(milliseconds=window_ms))
        for window_ms in windows.windows_ms
        for aggregate in windows.aggregates
    ]


def run(payments: Sequence[Payment]) -> PeerResult:
    """Apply every payment in order; its time is made a datetime beforehand, and not counted."""
    states: dict[str, list[utils.TimeRolling]] = {}
    last: deque[Vector] = deque(maxlen=COMPARED)
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None)
    times = [epoch + dt.timedelta(milliseconds=payment.at_ms) for payment in payments]
    started = time.perf_counter()
    for payment, t in zip(payments, times, strict=True):
        vector: Vector = []
        for windows in WINDOWS:
            key: str = getattr(payment, windows.entity)
            state = states.get(key)
            if state is None:
                state = states[key] = rolling(windows)
            for statistic in state:
                statistic.update(payment.amount_cents, t=t)
                vector.append(statistic.get())
        last.append(vector)
    return PeerResult(len(payments), time.perf_counter() - started, list(last))


if __name__ == "__main__":
    report(run)
