"""Fetching with a consumer whose partitions are merged in order of time."""

import sys
import time
from collections.abc import Iterable
from typing import Any, NamedTuple, Self

from shared.bus.kafka.connection import translated

ORDERED_FETCH_BYTES_MAX = 256 * 1024
"""Of one partition in one go, where the partitions are merged in order of time."""
FETCH_BYTES_MAX = 64 * 1024
"""Of one partition in one go, where the order between partitions does not matter: keeps the first batch quick."""
_IDLE_WAIT_MS = 200
WAIT_STEP_SECONDS = 0.02
"""How long to wait at once for a partition that may have older records than those held."""


class Fetching(NamedTuple):
    """How a subscription asks the broker.

    bytes_max: of one partition in one go. bytes_min, wait_ms: it may wait so long until so many bytes are there.
    in_order: the partitions are merged in order of time.
    """

    in_order: bool
    bytes_max: int
    bytes_min: int
    wait_ms: int

    @classmethod
    def ordered(cls) -> Self:
        """Return how partitions are read that are merged in order of time."""
        return cls(in_order=True, bytes_max=ORDERED_FETCH_BYTES_MAX, bytes_min=1, wait_ms=_IDLE_WAIT_MS)

    @classmethod
    def gathering(cls, seconds: float) -> Self:
        """Return how partitions are read whose records may be held back for so long."""
        if not seconds:
            return cls(in_order=False, bytes_max=FETCH_BYTES_MAX, bytes_min=1, wait_ms=_IDLE_WAIT_MS)
        return cls(in_order=False, bytes_max=FETCH_BYTES_MAX, bytes_min=FETCH_BYTES_MAX, wait_ms=int(seconds * 1000))


def fetch(consumer: Any, *, full: set[Any], wait_seconds: float) -> tuple[dict[Any, list[Any]], float]:
    """Take over everything the client has fetched, or wait for something if it has nothing.

    full: the partitions of which no more is wanted now. Returns the records by partition, and how long it took.
    """
    paused = consumer.paused()
    consumer.pause(*(full - paused))
    consumer.resume(*(paused - full))
    started = time.monotonic()
    batches = translated(lambda: consumer.poll(int(wait_seconds * 1000), max_records=sys.maxsize))
    return batches, time.monotonic() - started


def have_more(consumer: Any, places: Iterable[Any]) -> dict[Any, bool]:
    """Tell for each partition whether the broker has more than was fetched, as of its last answer.

    Read from the client's books: its `position` may go and ask the broker.
    """
    books = consumer._subscription.assignment
    more: dict[Any, bool] = {}
    for place in places:
        position, high = books[place].position, books[place].highwater
        more[place] = position is None or high is None or position.offset < high
    return more
