"""Reading from Kafka without a group."""

from collections.abc import Sequence
from typing import Any, Literal

import kafka

from shared.bus.base import BusUnavailableError, Record
from shared.bus.kafka.connection import partitions_of, records_of, translated


class KafkaTail:
    """A consumer without a group, over every partition."""

    def __init__(self, connection: dict[str, Any], topics: Sequence[str], start: Literal["oldest", "newest"]) -> None:
        self.closed = False
        self._consumer: Any = translated(
            lambda: kafka.KafkaConsumer(
                **connection,
                group_id=None,
                enable_auto_commit=False,
                isolation_level="read_committed",
                auto_offset_reset="earliest",
                fetch_max_wait_ms=50,
                max_partition_fetch_bytes=4 * 1024 * 1024,
            )
        )
        try:
            self._ends_at_open = translated(lambda: self._assign(topics, start))
        except BusUnavailableError:
            self.close()
            raise

    def poll(self, *, wait_seconds: float, records_max: int = 10_000) -> list[Record]:
        batches = translated(lambda: self._consumer.poll(int(wait_seconds * 1000), max_records=records_max))
        return records_of(batches)

    def caught_up(self) -> bool:
        return all(
            translated(lambda place=place: self._consumer.position(place)) >= end  # type: ignore[misc]
            for place, end in self._ends_at_open.items()
        )

    def close(self) -> None:
        self.closed = True
        self._consumer.close(autocommit=False)

    def _assign(self, topics: Sequence[str], start: Literal["oldest", "newest"]) -> dict[Any, int]:
        """Take every partition; return where each ends now."""
        places = partitions_of(self._consumer, topics)
        self._consumer.assign(places)
        ends: dict[Any, int] = self._consumer.end_offsets(places)
        for place, end in ends.items():
            if start == "newest":
                self._consumer.seek(place, end)
            else:
                self._consumer.seek_to_beginning(place)
        return ends
