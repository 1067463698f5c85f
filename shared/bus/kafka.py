"""The event log in Apache Kafka, through kafka-python: transactions, read_committed, static group membership.

A subscription publishes its results and its offsets in one transaction, fenced by the consumer's group generation
(KIP-447), so a process that lost its partitions cannot commit, and one that was killed leaves nothing visible.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Literal, Protocol, TypeVar

import kafka
import kafka.errors
import kafka.structs
from kafka.admin import NewTopic
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from shared.bus.base import (
    DEAD_LETTER_BYTES_MAX,
    RECORD_BYTES_MAX,
    BusUnavailableError,
    FencedError,
    Outgoing,
    Record,
    TopicPartition,
)
from shared.contracts.topics import Topic

T = TypeVar("T")
C = TypeVar("C", bound="_Closable")
log = logging.getLogger(__name__)

SESSION_TIMEOUT_MS = 10_000
TRANSACTION_TIMEOUT_MS = 15_000
# Between two transactions the broker answers "the last one is still closing"; the client's default pause of 100 ms
# there made a small transaction take 170 ms, 3 ms makes it 16 ms (docs/decisions/0002).
TRANSACTION_RETRY_BACKOFF_MS = 3
REQUEST_TIMEOUT_MS = 10_000
CONNECT_TIMEOUT_MS = 5_000

_FENCED = (
    kafka.errors.CommitFailedError,
    kafka.errors.FencedInstanceIdError,
    kafka.errors.IllegalGenerationError,
    kafka.errors.InvalidProducerEpochError,
    kafka.errors.ProducerFencedError,
    kafka.errors.RebalanceInProgressError,
    kafka.errors.UnknownMemberIdError,
)


def _translated(call: Callable[[], T]) -> T:
    """Run `call`, with the client's errors turned into the port's."""
    try:
        return call()
    except _FENCED as error:
        raise FencedError(f"the group moved on: {error}") from error
    except (kafka.errors.KafkaError, OSError) as error:
        raise BusUnavailableError(f"Kafka does not answer: {error!r}") from error


class _Closable(Protocol):
    closed: bool

    def close(self) -> None: ...


class KafkaBus:
    """A Kafka cluster."""

    def __init__(self, bootstrap_servers: str, *, partitions: int) -> None:
        """Remember where the cluster is; nothing is connected until it is used.

        partitions: of a topic ordered by entity, where this bus creates it.
        """
        self._servers = bootstrap_servers.split(",")
        self._partitions = partitions
        self._opened: list[_Closable] = []

    def create_topics(self, topics: Iterable[Topic]) -> None:
        wanted: dict[str, NewTopic] = {}
        for topic in topics:
            retention_ms = -1 if topic.retention is None else int(topic.retention.total_seconds() * 1000)
            base = {"retention.ms": str(retention_ms), "cleanup.policy": "delete"}
            count = self._partitions if topic.ordered_by_entity else 1
            wanted[topic.name] = NewTopic(
                topic.name, count, -1, topic_configs=base | {"max.message.bytes": str(RECORD_BYTES_MAX * 2)}
            )
            if topic.read_by:
                configs = base | {"max.message.bytes": str(DEAD_LETTER_BYTES_MAX)}
                name = topic.dead_letter_name
                wanted[name] = NewTopic(name, 1, -1, topic_configs=configs)

        def create() -> None:
            admin = kafka.KafkaAdminClient(**self._connection())
            try:
                present = set(admin.list_topics())
                missing = [topic for name, topic in wanted.items() if name not in present]
                if missing:
                    admin.create_topics(missing)
            except kafka.errors.TopicAlreadyExistsError:
                pass  # another service was faster
            finally:
                admin.close()

        _translated(create)

    def publisher(self) -> "KafkaPublisher":
        return self._remember(KafkaPublisher(self._connection()))

    def subscribe(self, group: str, topics: Sequence[str], *, instance: str) -> "KafkaSubscription":
        return self._remember(KafkaSubscription(self._connection(), group, topics, instance))

    def tail(self, topics: Sequence[str], *, start: Literal["oldest", "newest"]) -> "KafkaTail":
        return self._remember(KafkaTail(self._connection(), topics, start))

    def group_lag(self, group: str, topics: Sequence[str]) -> Mapping[TopicPartition, int]:
        def ask() -> dict[TopicPartition, int]:
            consumer = kafka.KafkaConsumer(**self._connection(), group_id=group, enable_auto_commit=False)
            try:
                places = _partitions(consumer, topics)
                ends = consumer.end_offsets(places)
                starts = consumer.beginning_offsets(places)
                return {
                    TopicPartition(place.topic, place.partition): ends[place]
                    - max(consumer.committed(place) or 0, starts[place])
                    for place in places
                }
            finally:
                consumer.close(autocommit=False)

        return _translated(ask)

    def reachable(self) -> bool:
        try:
            consumer = kafka.KafkaConsumer(**self._connection())
        except (kafka.errors.KafkaError, OSError):
            return False
        consumer.close(autocommit=False)
        return True

    def close(self) -> None:
        for opened in self._opened:
            opened.close()
        self._opened.clear()

    def _remember(self, opened: C) -> C:
        self._opened = [other for other in self._opened if not other.closed]
        self._opened.append(opened)
        return opened

    def _connection(self) -> dict[str, Any]:
        return {
            "bootstrap_servers": self._servers,
            "bootstrap_timeout_ms": CONNECT_TIMEOUT_MS,
            "request_timeout_ms": REQUEST_TIMEOUT_MS,
            "reconnect_backoff_max_ms": 1_000,
        }


class KafkaPublisher:
    """An idempotent producer; the client batches and retries."""

    def __init__(self, connection: dict[str, Any]) -> None:
        self._connection = connection
        self._producer: Any = None
        self.closed = False

    def send(self, outgoing: Outgoing) -> "Future[None]":
        if self._producer is None:
            self._producer = _translated(
                lambda: kafka.KafkaProducer(
                    **self._connection,
                    acks="all",
                    linger_ms=2,
                    enable_idempotence=True,
                    max_request_size=DEAD_LETTER_BYTES_MAX,
                    delivery_timeout_ms=REQUEST_TIMEOUT_MS * 2,
                    max_block_ms=CONNECT_TIMEOUT_MS,
                )
            )
        acknowledged: Future[None] = Future()
        topic, key, value, produced_ms = outgoing
        sent = _translated(lambda: self._producer.send(topic, value, key, timestamp_ms=produced_ms))
        sent.add_callback(lambda _: acknowledged.set_result(None))
        sent.add_errback(
            lambda error: acknowledged.set_exception(BusUnavailableError(f"Kafka did not acknowledge: {error!r}"))
        )
        return acknowledged

    def close(self) -> None:
        self.closed = True
        if self._producer is not None:
            self._producer.close(timeout=REQUEST_TIMEOUT_MS / 1000)


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
        self.closed = False
        self._consumer: Any = _translated(
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
                max_partition_fetch_bytes=4 * 1024 * 1024,
                fetch_max_wait_ms=200,
                partition_assignment_strategy=[CooperativeStickyAssignor],
            )
        )
        self._consumer.subscribe(list(topics), listener=_Revocations(self._revoked))

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
        positions = {place: self._consumer.position(place) for place in self._polled}
        offsets = {place: kafka.structs.OffsetAndMetadata(at, "", -1) for place, at in positions.items()}
        if outgoing:
            _translated(lambda: self._commit_transaction(outgoing, offsets))
        else:
            _translated(lambda: self._consumer.commit(offsets))
        self._committed.update(positions)
        self._polled.clear()

    def lag(self) -> int | None:
        assigned = self._consumer.assignment()
        if not assigned:
            return None
        # The high-water mark comes with each fetch; before the first one there is nothing to tell.
        known = [(self._consumer.highwater(place), place) for place in assigned]
        return sum(max(0, int(high) - int(self._consumer.position(place))) for high, place in known if high is not None)

    def close(self) -> None:
        self.closed = True
        try:
            if self._producer is not None:
                self._producer.close(timeout=CONNECT_TIMEOUT_MS / 1000)
        finally:
            self._consumer.close(autocommit=False, timeout_ms=CONNECT_TIMEOUT_MS)

    def _poll_once(self, records_max: int, wait_seconds: float) -> list[Record]:
        batches = _translated(lambda: self._consumer.poll(int(wait_seconds * 1000), max_records=records_max))
        if batches:
            self._heard_from_log = time.monotonic()
        self._polled.update(batches)
        return [
            Record(r.topic, r.partition, r.offset, r.key, r.value, r.timestamp)
            for batch in batches.values()
            for r in batch
        ]

    def _while_idle(self) -> None:
        """Ask whether the log is there, and move past transaction markers so that an idle group shows no lag."""
        assigned = self._consumer.assignment()
        if not assigned or time.monotonic() - self._heard_from_log < CONNECT_TIMEOUT_MS / 2000:
            return
        _translated(lambda: self._consumer.end_offsets(assigned, timeout_ms=CONNECT_TIMEOUT_MS))
        self._heard_from_log = time.monotonic()
        positions = {place: self._consumer.position(place) for place in assigned}
        passed = {place: at for place, at in positions.items() if at > self._committed.get(place, 0)}
        if passed and not self._polled:
            offsets = {place: kafka.structs.OffsetAndMetadata(at, "", -1) for place, at in passed.items()}
            _translated(lambda: self._consumer.commit(offsets))
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
        producer.send_offsets_to_transaction(offsets, self._membership)
        producer.commit_transaction()


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


class KafkaTail:
    """A consumer without a group, over every partition."""

    def __init__(self, connection: dict[str, Any], topics: Sequence[str], start: Literal["oldest", "newest"]) -> None:
        self.closed = False
        self._consumer: Any = _translated(
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
        places = _translated(lambda: _partitions(self._consumer, topics))
        self._consumer.assign(places)
        self._ends_at_open: dict[Any, int] = _translated(lambda: self._consumer.end_offsets(places))
        if start == "newest":
            for place, end in self._ends_at_open.items():
                self._consumer.seek(place, end)
        else:
            self._consumer.seek_to_beginning(*places)

    def poll(self, *, wait_seconds: float, records_max: int = 10_000) -> list[Record]:
        batches = _translated(lambda: self._consumer.poll(int(wait_seconds * 1000), max_records=records_max))
        return [
            Record(r.topic, r.partition, r.offset, r.key, r.value, r.timestamp)
            for batch in batches.values()
            for r in batch
        ]

    def caught_up(self) -> bool:
        return all(
            _translated(lambda place=place: self._consumer.position(place)) >= end  # type: ignore[misc]
            for place, end in self._ends_at_open.items()
        )

    def close(self) -> None:
        self.closed = True
        self._consumer.close(autocommit=False)


def _partitions(consumer: Any, topics: Sequence[str]) -> list[Any]:
    places: list[Any] = []
    for topic in topics:
        found = consumer.partitions_for_topic(topic)
        if not found:
            raise BusUnavailableError(f"topic {topic} does not exist; run `headrace topics --create`")
        places += [kafka.structs.TopicPartition(topic, partition) for partition in sorted(found)]
    return places
