"""Plain Python: a dict of deques, running sums, and a deque of falling amounts for the maximum.

State lives in one process and dies with it; late or repeated payments would be wrong.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence

from tests.benchmarks.feature_peers.workload import COMPARED, WINDOWS, Aggregates, Payment, PeerResult, Vector


class CountWindow:
    """How many events lie in (t - w, t]."""

    __slots__ = ("_times_ms", "_window_ms")

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._times_ms: deque[int] = deque()

    def apply(self, at_ms: int, amount_cents: int) -> Vector:  # noqa: ARG002 - all windows are called alike
        times_ms = self._times_ms
        times_ms.append(at_ms)
        after_ms = at_ms - self._window_ms
        while times_ms[0] <= after_ms:
            times_ms.popleft()
        return [len(times_ms)]


class MeanWindow:
    """How many, and their mean amount."""

    __slots__ = ("_events", "_sum", "_window_ms")

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._events: deque[tuple[int, int]] = deque()
        self._sum = 0

    def apply(self, at_ms: int, amount_cents: int) -> Vector:
        events = self._events
        events.append((at_ms, amount_cents))
        self._sum += amount_cents
        after_ms = at_ms - self._window_ms
        while events[0][0] <= after_ms:
            self._sum -= events.popleft()[1]
        return [len(events), self._sum / len(events)]


class SumMaxWindow:
    """How many, their sum, and the largest."""

    __slots__ = ("_events", "_falling", "_sum", "_window_ms")

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._events: deque[tuple[int, int]] = deque()
        self._falling: deque[tuple[int, int]] = deque()
        self._sum = 0

    def apply(self, at_ms: int, amount_cents: int) -> Vector:
        events, falling = self._events, self._falling
        event = (at_ms, amount_cents)
        while falling and falling[-1][1] <= amount_cents:
            falling.pop()
        falling.append(event)
        events.append(event)
        self._sum += amount_cents
        after_ms = at_ms - self._window_ms
        while events[0][0] <= after_ms:
            self._sum -= events.popleft()[1]
        while falling[0][0] <= after_ms:
            falling.popleft()
        return [len(events), self._sum, falling[0][1]]


SlidingWindow = CountWindow | MeanWindow | SumMaxWindow
WINDOW_OF: dict[Aggregates, Callable[[int], SlidingWindow]] = {
    ("count",): CountWindow,
    ("count", "mean"): MeanWindow,
    ("count", "sum", "max"): SumMaxWindow,
}
"""By what it computes; made from the window's length in milliseconds."""


def run(payments: Sequence[Payment]) -> PeerResult:
    """Apply every payment in order."""
    states: dict[str, list[SlidingWindow]] = {}
    last: deque[Vector] = deque(maxlen=COMPARED)
    started = time.perf_counter()
    for payment in payments:
        vector: Vector = []
        for entity, windows_ms, aggregates in WINDOWS:
            key: str = getattr(payment, entity)
            state = states.get(key)
            if state is None:
                state = states[key] = [WINDOW_OF[aggregates](window_ms) for window_ms in windows_ms]
            for window in state:
                vector += window.apply(payment.at_ms, payment.amount_cents)
        last.append(vector)
    return PeerResult(len(payments), time.perf_counter() - started, list(last))
