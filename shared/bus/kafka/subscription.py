"""Reading from Kafka as a group, and publishing the answers in the transaction that moves the group on.

Results and offsets are committed in one transaction, fenced by the consumer's group generation (KIP-447): a process
that lost its partitions cannot commit, and one that was killed leaves nothing visible.
"""

import contextlib
import time
from collections.abc import Iterable, Sequence
from typing import Any

import kafka
import kafka.errors
import kafka.structs
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from shared.bus.base import DEAD_LETTER_BYTES_MAX, BusUnavailableError, Outgoing, Record, TopicPartition
from shared.bus.kafka.connection import (
    CONNECT_TIMEOUT_MS,
    REQUEST_TIMEOUT_MS,
    SESSION_TIMEOUT_MS,
    TRANSACTION_RETRY_BACKOFF_MS,
    TRANSACTION_TIMEOUT_MS,
    close_producer,
    records_of,
    translated,
)

FETCH_BYTES_MAX = 64 * 1024
"""Of one partition in one go. A backlog is read partition by partition as it was fetched, so this bounds how far one
partition, or topic, runs ahead of the others: by a few hundred records, not by days of event time."""


class KafkaSubscription:
    """A member of a consumer group, and the transactional producer that publishes its results."""

    def __init__(self, connection: dict[str, Any], group: str, topics: Sequence[str], instance: str) -> None:
        self._connection = connection
        self._transactional_id = f"{group}-{instance}"
        self._producer: Any = None
        self._membership: Any = None
        self._revoked: set[Any] = set()
        self._polled: set[Any] = set()
        self._committed: dict[Any, int] = {}
        self._heard_from_log = time.monotonic()
        self._any_partition = kafka.structs.TopicPartition(topics[0], 0)
        self.closed = False
        self._consumer: Any = translated(
            lambda: kafka.KafkaConsumer(
                **connection,
                group_id=group,
                group_instance_id=instance,
                auto_offset_reset="earliest",
                enable_auto_commit=False,
                isolation_level="read_committed",
                session_timeout_ms=SESSION_TIMEOUT_MS,
                heartbeat_interval_ms=SESSION_TIMEOUT_MS // 5,
                max_poll_interval_ms=3_600_000,
                max_partition_fetch_bytes=FETCH_BYTES_MAX,
                fetch_max_wait_ms=200,
                partition_assignment_strategy=[CooperativeStickyAssignor],
            )
        )
        self._consumer.subscribe(list(topics), listener=_Revocations(self._revoked))
        # The leader of a group that knows no metadata yet assigns nothing, and kafka-python 3.0.12 may then never join
        # again: seen in 4 of 29 subscriptions, in none of 74 with the metadata fetched first.
        try:
            translated(self._consumer.topics)
        except BusUnavailableError:
            self.close()
            raise

    def poll(self, *, records_max: int, wait_seconds: float, linger_seconds: float = 0.0) -> list[Record]:
        polled = self._poll_once(records_max, wait_seconds)
        if polled and linger_seconds:
            deadline = time.monotonic() + linger_seconds
            while len(polled) < records_max and (left := deadline - time.monotonic()) > 0:
                polled += self._poll_once(records_max - len(polled), left)
                if self._revoked:
                    # Whoever owns these partitions now reads them from the last commit.
                    lost = {TopicPartition(place.topic, place.partition) for place in self._revoked}
                    polled = [record for record in polled if (record.topic, record.partition) not in lost]
                    self._polled -= self._revoked
        self._revoked.clear()
        self._membership = self._consumer.group_metadata()
        if not polled:
            self._while_idle()
        return polled

    def commit(self, outgoing: Sequence[Outgoing] = ()) -> None:
        positions = self._positions(self._polled)
        offsets = {place: kafka.structs.OffsetAndMetadata(at, "", -1) for place, at in positions.items()}
        if outgoing:
            translated(lambda: self._commit_transaction(outgoing, offsets))
        else:
            translated(lambda: self._consumer.commit(offsets))
        self._committed.update(positions)
        self._polled.clear()

    def lag(self) -> int | None:
        assigned = self._consumer.assignment()
        if not assigned:
            return None
        # The high-water mark comes with each fetch; before the first one there is nothing to tell.
        highs = {place: high for place in assigned if (high := self._consumer.highwater(place)) is not None}
        return sum(max(0, int(highs[place]) - at) for place, at in self._positions(set(highs)).items())

    def close(self) -> None:
        self.closed = True
        if self._producer is not None:
            close_producer(self._producer, seconds=1.0)
        # What it could not say goodbye to, it will be missed by: the group notices, and nothing is committed here.
        with contextlib.suppress(kafka.errors.KafkaError):
            self._consumer.close(autocommit=False, timeout_ms=CONNECT_TIMEOUT_MS)

    def _poll_once(self, records_max: int, wait_seconds: float) -> list[Record]:
        batches = translated(lambda: self._consumer.poll(int(wait_seconds * 1000), max_records=records_max))
        if batches:
            self._heard_from_log = time.monotonic()
        self._polled.update(batches)
        return records_of(batches)

    def _positions(self, places: set[Any]) -> dict[Any, int]:
        # Usually known; after a reconnect the client may have to ask.
        return translated(lambda: {place: self._consumer.position(place) for place in places})

    def _while_idle(self) -> None:
        """Ask whether the log is there, and move past transaction markers so that an idle group shows no lag."""
        if time.monotonic() - self._heard_from_log < CONNECT_TIMEOUT_MS / 2000:
            return
        assigned = self._consumer.assignment()
        # Polling an absent cluster looks like polling an empty topic, so it is asked something that needs an answer.
        asked = assigned or {self._any_partition}
        translated(lambda: self._consumer.end_offsets(asked, timeout_ms=CONNECT_TIMEOUT_MS))
        self._heard_from_log = time.monotonic()
        positions = self._positions(assigned)
        passed = {place: at for place, at in positions.items() if at > self._committed.get(place, 0)}
        if passed and not self._polled:
            offsets = {place: kafka.structs.OffsetAndMetadata(at, "", -1) for place, at in passed.items()}
            translated(lambda: self._consumer.commit(offsets))
            self._committed.update(passed)

    def _commit_transaction(self, outgoing: Sequence[Outgoing], offsets: dict[Any, Any]) -> None:
        if self._producer is None:
            self._producer = kafka.KafkaProducer(
                **self._connection,
                transactional_id=self._transactional_id,
                transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
                retry_backoff_ms=TRANSACTION_RETRY_BACKOFF_MS,
                delivery_timeout_ms=REQUEST_TIMEOUT_MS * 2,
                max_request_size=DEAD_LETTER_BYTES_MAX,
                max_block_ms=REQUEST_TIMEOUT_MS * 2,
                linger_ms=2,
            )
            self._producer.init_transactions()
        producer = self._producer
        producer.begin_transaction()
        for topic, key, value, produced_ms in outgoing:
            producer.send(topic, value, key, timestamp_ms=produced_ms)
        transaction = producer._transaction_manager
        self._await(transaction.send_offsets_to_transaction(offsets, self._membership))
        self._await(transaction.begin_commit())

    def _await(self, result: Any) -> None:
        """Wait for one step of a transaction; the client's own calls would wait for an absent broker without end."""
        self._producer._sender.wakeup()
        if not result.wait(REQUEST_TIMEOUT_MS):
            raise kafka.errors.KafkaTimeoutError(f"no answer to a transaction within {REQUEST_TIMEOUT_MS} ms")


class _Revocations(kafka.ConsumerRebalanceListener):  # type: ignore[misc]
    """Remembers which partitions were taken away; called on the client's own thread."""

    def __init__(self, revoked: set[Any]) -> None:
        self._revoked = revoked

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        self._revoked.update(revoked)

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        """Nothing to prepare: positions come from the group."""

    def on_partitions_lost(self, lost: Iterable[Any]) -> None:
        self._revoked.update(lost)
