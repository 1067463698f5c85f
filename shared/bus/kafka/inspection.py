"""What a Kafka cluster tells of itself: versions, topics, groups, transactions; nothing is changed by asking."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import kafka
import kafka.errors
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_fixed

from shared.bus.kafka.connection import CONNECT_TIMEOUT_MS, REQUEST_TIMEOUT_MS, translated

# Who leads a partition that was made or moved a moment ago may not know it yet.
_PATIENTLY = Retrying(
    retry=retry_if_exception_type((kafka.errors.NotLeaderForPartitionError, kafka.errors.LeaderNotAvailableError)),
    wait=wait_fixed(0.5),
    stop=stop_after_attempt(10),
    reraise=True,
)


class TopicFacts(NamedTuple):
    """One topic as it is.

    replicas: of the partition that has the fewest. in_sync_replicas: likewise, of those that have everything.
    in_sync_replicas_min: with fewer of them the topic takes no record. leaderless_partitions: nobody answers for them.
    retention_ms: None keeps records for ever.
    """

    partitions: int
    replicas: int
    in_sync_replicas: int
    in_sync_replicas_min: int
    leaderless_partitions: int
    retention_ms: int | None
    is_compacted: bool


class GroupFacts(NamedTuple):
    """A consumer group that has members.

    instances: how its members are named across restarts, one that has no name left out. topics: what they read.
    """

    name: str
    members: int
    instances: tuple[str, ...]
    topics: frozenset[str]


class OpenTransaction(NamedTuple):
    """A transaction that a partition holds open; what is behind it is hidden from who reads what is committed.

    last_ms: when a record of it was last written (milliseconds since the epoch).
    """

    topic: str
    partition: int
    producer_id: int
    last_ms: int


class ClusterFacts(NamedTuple):
    """A cluster as it is.

    version: major and minor, of the oldest broker. transaction_version: the level of that feature in force.
    open_transactions: in the topics asked about, those under way among them.
    newest_ms: the latest time that a record of the topics asked about carries (milliseconds since the epoch).
    """

    brokers: int
    version: tuple[int, int]
    transaction_version: int
    topics: Mapping[str, TopicFacts]
    groups: tuple[GroupFacts, ...]
    open_transactions: tuple[OpenTransaction, ...]
    newest_ms: int | None


def inspect_cluster(bootstrap_servers: str, topics: Sequence[str]) -> ClusterFacts:
    """Return what the cluster tells of itself and of those of `topics` that it has; raises BusUnavailableError."""

    def ask() -> ClusterFacts:
        with _admin(bootstrap_servers) as admin:
            brokers = [broker["broker_id"] for broker in admin.describe_cluster()["brokers"]]
            found = _topics(admin, topics)
            return ClusterFacts(
                brokers=len(brokers),
                version=min(tuple(admin.get_broker_version_data(broker).broker_version[:2]) for broker in brokers),
                transaction_version=_level(admin.describe_features(), "transaction.version"),
                topics=found,
                groups=_groups(admin),
                open_transactions=tuple(_open_transactions(admin, found)),
                newest_ms=_newest_ms(admin, found),
            )

    return translated(lambda: _PATIENTLY(ask))


def inspect_groups(bootstrap_servers: str) -> tuple[GroupFacts, ...]:
    """Return the cluster's consumer groups that have members, by name; raises BusUnavailableError."""

    def ask() -> tuple[GroupFacts, ...]:
        with _admin(bootstrap_servers) as admin:
            return _groups(admin)

    return translated(ask)


@contextlib.contextmanager
def _admin(bootstrap_servers: str) -> Iterator[Any]:
    admin = kafka.KafkaAdminClient(
        bootstrap_servers=bootstrap_servers.split(","),
        bootstrap_timeout_ms=CONNECT_TIMEOUT_MS,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )
    try:
        yield admin
    finally:
        admin.close()


def _level(features: Mapping[str, Any], name: str) -> int:
    """Return the level of a feature that is in force; 0 where the brokers do not know it."""
    _, level = features.get(name, {}).get("finalized", (0, 0))
    return int(level)


def _topics(admin: Any, names: Sequence[str]) -> dict[str, TopicFacts]:
    described = {topic["name"]: topic["partitions"] for topic in admin.describe_topics() if topic["name"] in set(names)}
    if not described:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in described]
    by_kind = admin.describe_configs(resources, config_filter="all")
    configs = next(iter(by_kind.values()))
    return {name: _topic(partitions, configs[name]) for name, partitions in described.items()}


def _topic(partitions: Sequence[Mapping[str, Any]], configs: Mapping[str, Mapping[str, str]]) -> TopicFacts:
    retention_ms = int(configs["retention.ms"]["value"])
    return TopicFacts(
        partitions=len(partitions),
        replicas=min(len(partition["replica_nodes"]) for partition in partitions),
        in_sync_replicas=min(len(partition["isr_nodes"]) for partition in partitions),
        in_sync_replicas_min=int(configs["min.insync.replicas"]["value"]),
        leaderless_partitions=sum(partition["leader_id"] < 0 for partition in partitions),
        retention_ms=None if retention_ms < 0 else retention_ms,
        is_compacted="compact" in configs["cleanup.policy"]["value"].split(","),
    )


def _groups(admin: Any) -> tuple[GroupFacts, ...]:
    names = [group["group_id"] for group in admin.list_groups() if group["protocol_type"] == "consumer"]
    described = admin.describe_groups(names) if names else {}
    return tuple(_group(name, described[name]["members"]) for name in sorted(names) if described[name]["members"])


def _group(name: str, members: Sequence[Mapping[str, Any]]) -> GroupFacts:
    subscriptions = [(member["member_metadata"] or {}).get("topics", ()) for member in members]
    return GroupFacts(
        name,
        len(members),
        tuple(sorted(member["group_instance_id"] for member in members if member["group_instance_id"])),
        frozenset().union(*subscriptions),
    )


def _open_transactions(admin: Any, topics: Mapping[str, TopicFacts]) -> Iterator[OpenTransaction]:
    places = _places({name: topic for name, topic in topics.items() if not topic.leaderless_partitions})
    for place, state in (admin.describe_producers(places) if places else {}).items():
        for producer in state.active_producers:
            if producer.current_transaction_start_offset >= 0:
                yield OpenTransaction(place.topic, place.partition, producer.producer_id, producer.last_timestamp)


def _newest_ms(admin: Any, topics: Mapping[str, TopicFacts]) -> int | None:
    places = _places(topics)
    answers = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.MAX_TIMESTAMP)) if places else {}
    # A partition without a record answers with a time of -1.
    return max((answer.timestamp for answer in answers.values() if answer.timestamp >= 0), default=None)


def _places(topics: Mapping[str, TopicFacts]) -> list[Any]:
    return [
        kafka.structs.TopicPartition(name, partition)
        for name, facts in topics.items()
        for partition in range(facts.partitions)
    ]
