"""The event log: versions, topics, groups, transactions."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

from services.local.checks.finding import Area, Finding
from shared.bus.base import BusUnavailableError
from shared.bus.kafka.inspection import ClusterFacts, GroupFacts, TopicFacts, inspect_cluster
from shared.contracts.topics import DEAD_LETTER_SUFFIX, TOPICS, Topic
from shared.runtime.clock import Clock

AHEAD_SECONDS_MAX = 5.0
"""Clocks that differ by more are worth a word."""
UNFINISHED_SECONDS_MAX = 120.0
"""The brokers end a transaction long before."""
_VERSION_MIN = (4, 0)
_TRANSACTION_VERSION_MIN = 2
_COPIES_WANTED = 3
_ADVICE_KAFKA = "see that it runs, and that KAFKA_BOOTSTRAP_SERVERS names it"


def check_kafka(area: Area, bootstrap_servers: str, *, partitions: int, clock: Clock) -> Sequence[Finding]:
    """Ask the cluster; partitions: of a topic ordered by entity, as the settings want it."""
    wanted = {topic.name: topic for topic in TOPICS}
    names = [*wanted, *(topic.dead_letter_name for topic in TOPICS if topic.read_by)]
    try:
        facts = inspect_cluster(bootstrap_servers, names)
    except BusUnavailableError as error:
        return [area.failed("reachable", f"{bootstrap_servers}: {error}", _ADVICE_KAFKA)]
    return [
        area.ok("reachable", f"{bootstrap_servers} answers; brokers: {facts.brokers}"),
        _version(area, facts),
        _transactions(area, facts),
        _unfinished(area, facts, clock),
        _presence(area, facts, names),
        *_partitions(area, facts, partitions),
        *_retention(area, facts),
        *_compaction(area, facts),
        _copies(area, facts),
        _groups(area, facts.groups),
        _times(area, facts, clock),
    ]


def _version(area: Area, facts: ClusterFacts) -> Finding:
    told = ".".join(map(str, facts.version))
    if facts.version < _VERSION_MIN:
        return area.failed("version", f"Kafka {told}; 4.0 or newer is needed", "upgrade the brokers")
    return area.ok("version", f"Kafka {told}")


def _transactions(area: Area, facts: ClusterFacts) -> Finding:
    if facts.transaction_version < _TRANSACTION_VERSION_MIN:
        return area.failed(
            "transactions",
            f"transaction.version {facts.transaction_version} is in force; 2 is needed",
            "`kafka-features.sh upgrade --feature transaction.version=2`",
        )
    return area.ok("transactions", f"transaction.version {facts.transaction_version}")


def _unfinished(area: Area, facts: ClusterFacts, clock: Clock) -> Finding:
    oldest_ms = (clock.now().timestamp() - UNFINISHED_SECONDS_MAX) * 1000
    stuck = [
        f"{open_.topic}/{open_.partition} (producer {open_.producer_id})"
        for open_ in facts.open_transactions
        if open_.last_ms < oldest_ms
    ]
    if stuck:
        return area.failed(
            "unfinished",
            f"transactions that do not end, and hide what is behind them: {_some(stuck)}",
            "restart the service that wrote them; else `kafka-transactions.sh find-hanging`, then `abort`",
        )
    return area.ok("unfinished", "no transaction is open for long")


def _presence(area: Area, facts: ClusterFacts, names: Sequence[str]) -> Finding:
    missing = [name for name in names if name not in facts.topics]
    silent = [name for name, topic in facts.topics.items() if topic.leaderless_partitions]
    if missing:
        return area.failed("topics", f"missing: {_some(missing)}", "`headrace topics --create`")
    if silent:
        return area.failed("topics", f"partitions without a leader: {_some(silent)}", "see that every broker runs")
    return area.ok("topics", f"all {len(names)} are there")


def _partitions(area: Area, facts: ClusterFacts, partitions: int) -> Iterator[Finding]:
    split = [name for name, topic in facts.topics.items() if _wants_one(name) and topic.partitions != 1]
    other = [
        f"{name} {topic.partitions}"
        for name, topic in facts.topics.items()
        if not _wants_one(name) and topic.partitions != partitions
    ]
    if split:
        found = f"more than one, so that their records have no order: {_some(split)}"
        yield area.failed("partitions", found, "make them again with one partition")
    if other:
        found = f"not the {partitions} of HEADRACE_TOPIC_PARTITIONS: {_some(other)}"
        yield area.warning("partitions", found, "set it to what there is; a key's records move where partitions change")
    if not (split or other):
        yield area.ok("partitions", f"{partitions}, and one where there is one order")


def _wants_one(name: str) -> bool:
    return name.endswith(DEAD_LETTER_SUFFIX) or not _topic(name).ordered_by_entity


def _topic(name: str) -> Topic:
    return next(topic for topic in TOPICS if name in {topic.name, topic.dead_letter_name})


def _retention(area: Area, facts: ClusterFacts) -> Iterator[Finding]:
    short = [
        f"{name} {_days(topic.retention_ms)}, {_days(_wanted_ms(name))} wanted"
        for name, topic in facts.topics.items()
        if _is_shorter(topic.retention_ms, _wanted_ms(name))
    ]
    if short:
        advice = "raise retention.ms with `kafka-configs.sh`: what is gone cannot be rebuilt from"
        yield area.warning("retention", f"kept for less: {_some(short)}", advice)
    else:
        yield area.ok("retention", "as the topic table wants it, or longer")


def _wanted_ms(name: str) -> int | None:
    retention = _topic(name).retention
    return None if retention is None else int(retention / timedelta(milliseconds=1))


def _is_shorter(actual_ms: int | None, wanted_ms: int | None) -> bool:
    return actual_ms is not None and (wanted_ms is None or actual_ms < wanted_ms)


def _days(milliseconds: int | None) -> str:
    return "for ever" if milliseconds is None else f"{timedelta(milliseconds=milliseconds) / timedelta(days=1):g} d"


def _compaction(area: Area, facts: ClusterFacts) -> Iterator[Finding]:
    wanted = {topic.name for topic in TOPICS if topic.compacted}
    losing = [name for name, topic in facts.topics.items() if topic.is_compacted and name not in wanted]
    growing = [name for name, topic in facts.topics.items() if not topic.is_compacted and name in wanted]
    if losing:
        found = f"compacted, and so losing records that are wanted: {_some(losing)}"
        yield area.failed("compaction", found, "set cleanup.policy=delete with `kafka-configs.sh`")
    if growing:
        advice = "set cleanup.policy=compact with `kafka-configs.sh`"
        yield area.warning("compaction", f"not compacted: {_some(growing)}", advice)
    if not (losing or growing):
        yield area.ok("compaction", f"of {_some(sorted(wanted))} alone")


def _copies(area: Area, facts: ClusterFacts) -> Finding:
    stuck = _those(facts, lambda topic: topic.in_sync_replicas < topic.in_sync_replicas_min)
    behind = _those(facts, lambda topic: topic.in_sync_replicas < topic.replicas)
    few = _those(facts, lambda topic: topic.replicas < _COPIES_WANTED or topic.in_sync_replicas_min < 2)
    if stuck:
        return area.failed("copies", f"too few brokers to take a record: {_some(stuck)}", "see that every broker runs")
    if behind:
        return area.warning("copies", f"some are behind: {_some(behind)}", "see that every broker runs")
    if facts.brokers < _COPIES_WANTED:
        return area.ok("copies", "one broker's disk is all there is" if facts.brokers == 1 else "two brokers")
    if few:
        advice = "3 replicas and min.insync.replicas=2 survive the loss of a broker"
        return area.warning("copies", f"fewer than 3, or written to only one: {_some(few)}", advice)
    return area.ok("copies", "3 or more, 2 of them in sync before a record counts")


def _those(facts: ClusterFacts, told: Callable[[TopicFacts], bool]) -> list[str]:
    return [name for name, topic in facts.topics.items() if told(topic)]


def _groups(area: Area, groups: Sequence[GroupFacts]) -> Finding:
    own = [group for group in groups if group.name.startswith("headrace-")]
    if not own:
        return area.warning("groups", "nobody reads the log", "start the services: `headrace up`")
    return area.ok("groups", f"{len(own)}, with {sum(group.members for group in own)} members")


def _times(area: Area, facts: ClusterFacts, clock: Clock) -> Finding:
    if facts.newest_ms is None:
        return area.not_checked("clock", "the log has no record to compare with")
    ahead = facts.newest_ms / 1000 - clock.now().timestamp()
    if ahead > AHEAD_SECONDS_MAX:
        found = f"a record on the log was produced {ahead:.0f} s from now"
        return area.warning("clock", found, "set the clocks of this machine and of who produces: NTP")
    return area.ok("clock", "no record is ahead of this machine's clock")


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"
