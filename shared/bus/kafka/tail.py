"""Reading from Kafka without a group."""

import time
from collections.abc import Sequence
from typing import Any

import kafka

from shared.bus.base import BusUnavailableError, Record, Start, first_ms
from shared.bus.kafka.connection import partitions_of, position_of, records_of, translated
from shared.bus.kafka.fetching import ORDERED_FETCH_BYTES_MAX, WAIT_STEP_SECONDS, fetch, have_more
from shared.bus.ordering import FetchedRecords

FETCH_BYTES_MAX = 4 * 1024 * 1024
"""Of one partition in one go, where the order between partitions does not matter."""


class KafkaTail:
    """A consumer without a group, over every partition."""

    def __init__(self, connection: dict[str, Any], topics: Sequence[str], start: Start, *, in_order: bool) -> None:
        self.closed = False
        self._fetched = FetchedRecords(in_order=in_order)
        self._consumer: Any = translated(
            lambda: kafka.KafkaConsumer(
                **connection,
                group_id=None,
                enable_auto_commit=False,
                isolation_level="read_committed",
                auto_offset_reset="earliest",
                fetch_max_wait_ms=500,
                metrics_enabled=False,
                max_partition_fetch_bytes=ORDERED_FETCH_BYTES_MAX if in_order else FETCH_BYTES_MAX,
            )
        )
        try:
            self._ends_at_open = translated(lambda: self._assign(topics, start))
        except BusUnavailableError:
            self.close()
            raise

    def poll(self, *, wait_seconds: float, records_max: int = 10_000) -> list[Record]:
        deadline = time.monotonic() + wait_seconds
        left = wait_seconds
        while not self._fetched.settled(records_max):
            self._fetch(min(left, WAIT_STEP_SECONDS) if self._fetched.count() else left)
            left = deadline - time.monotonic()
            if left <= 0:
                break
        return self._fetched.take(records_max)

    def caught_up(self) -> bool:
        return all(self._position(place) >= end for place, end in self._ends_at_open.items())

    def close(self) -> None:
        self.closed = True
        self._consumer.close(autocommit=False)

    def _fetch(self, wait_seconds: float) -> None:
        batches, waited_seconds = fetch(self._consumer, full=self._fetched.full(), wait_seconds=wait_seconds)
        for place, batch in batches.items():
            self._fetched.add(place, records_of(batch))
        self._fetched.expect(have_more(self._consumer, self._ends_at_open), waited_seconds=waited_seconds)

    def _position(self, place: Any) -> int:
        """Return the offset of the next record to return."""
        held = self._fetched.next_offset(place)
        return position_of(self._consumer, place) if held is None else held

    def _assign(self, topics: Sequence[str], start: Start) -> dict[Any, int]:
        """Take every partition; return where each ends now."""
        places = partitions_of(self._consumer, topics)
        self._consumer.assign(places)
        self._fetched.own(places)
        ends: dict[Any, int] = self._consumer.end_offsets(places)
        if start == "oldest":
            self._consumer.seek_to_beginning(*places)
            return ends
        found = {} if start == "newest" else self._consumer.offsets_for_times(dict.fromkeys(places, first_ms(start)))
        for place, end in ends.items():
            first = found.get(place)
            self._consumer.seek(place, end if first is None else first.offset)
        return ends
