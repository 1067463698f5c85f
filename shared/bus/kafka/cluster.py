"""A Kafka cluster: its topics, and the clients opened on it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import kafka
import kafka.errors
from kafka.admin import NewTopic

from shared.bus.base import DEAD_LETTER_BYTES_MAX, RECORD_BYTES_MAX, Start, TopicPartition
from shared.bus.kafka.connection import CONNECT_TIMEOUT_MS, REQUEST_TIMEOUT_MS, partitions_of, translated
from shared.bus.kafka.fetching import Fetching
from shared.bus.kafka.publisher import KafkaPublisher
from shared.bus.kafka.sole_writer import KafkaSoleWriter
from shared.bus.kafka.subscription import KafkaSubscription
from shared.bus.kafka.tail import KafkaTail
from shared.contracts.topics import Topic

C = TypeVar("C", bound="Closable")
T = TypeVar("T")


class Closable(Protocol):
    """A client opened on the cluster."""

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
        self._opened: list[Closable] = []

    def create_topics(self, topics: Iterable[Topic]) -> None:
        wanted: dict[str, NewTopic] = {}
        for topic in topics:
            retention_ms = -1 if topic.retention is None else int(topic.retention.total_seconds() * 1000)
            base = {"retention.ms": str(retention_ms), "cleanup.policy": "delete"}
            cleanup = {"cleanup.policy": "compact"} if topic.compacted else {}
            count = self._partitions if topic.ordered_by_entity else 1
            wanted[topic.name] = NewTopic(
                topic.name, count, -1, topic_configs=base | cleanup | {"max.message.bytes": str(RECORD_BYTES_MAX * 2)}
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

        translated(create)

    def publisher(self) -> "KafkaPublisher":
        return self._remember(KafkaPublisher(self._connection()))

    def sole_writer(self, topic: str) -> "KafkaSoleWriter":
        return self._remember(KafkaSoleWriter(self._connection(), topic))

    def subscribe(
        self,
        group: str,
        topics: Sequence[str],
        *,
        instance: str,
        in_order: bool = False,
        gather_seconds: float = 0.0,
    ) -> "KafkaSubscription":
        fetching = Fetching.ordered() if in_order else Fetching.gathering(gather_seconds)
        return self._remember(KafkaSubscription(self._connection(), group, topics, instance, fetching))

    def tail(self, topics: Sequence[str], *, start: Start, in_order: bool = False) -> "KafkaTail":
        return self._remember(KafkaTail(self._connection(), topics, start, in_order=in_order))

    def group_lag(self, group: str, topics: Sequence[str]) -> Mapping[TopicPartition, int]:
        def ask(consumer: Any) -> dict[TopicPartition, int]:
            places = partitions_of(consumer, topics)
            ends = consumer.end_offsets(places)
            starts = consumer.beginning_offsets(places)
            return {
                TopicPartition(place.topic, place.partition): ends[place]
                - max(consumer.committed(place) or 0, starts[place])
                for place in places
            }

        return self._asked(group, ask)

    def has_committed(self, group: str, topics: Sequence[str]) -> bool:
        def ask(consumer: Any) -> bool:
            return any(consumer.committed(place) for place in partitions_of(consumer, topics))

        return self._asked(group, ask)

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

    def _asked(self, group: str, ask: Callable[[Any], T]) -> T:
        """Return what `ask` learns from a consumer that does not join `group`."""

        def answer() -> T:
            consumer = kafka.KafkaConsumer(**self._connection(), group_id=group, enable_auto_commit=False)
            try:
                return ask(consumer)
            finally:
                consumer.close(autocommit=False)

        return translated(answer)

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
