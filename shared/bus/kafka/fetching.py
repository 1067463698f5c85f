"""Fetching with a consumer whose partitions are merged in order of time."""

import sys
import time
from collections.abc import Iterable
from typing import Any

from shared.bus.kafka.connection import translated

ORDERED_FETCH_BYTES_MAX = 256 * 1024
"""Of one partition in one go, where the partitions are merged in order of time."""
WAIT_STEP_SECONDS = 0.02
"""How long to wait at once for a partition that may have older records than those held."""


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
