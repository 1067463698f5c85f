"""The event log in this process's memory: for tests, simulation, and machines without a JVM.

The same visible behaviour as Kafka, with the same fencing: a member that lost its partitions cannot commit.
"""

import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future

from shared.bus.base import FencedError, Outgoing, Record, Standing, Start, TopicPartition, first_ms, within_bounds
from shared.bus.ordering import first_turns, turns_of, whole_milliseconds
from shared.contracts.topics import Topic

Logs = dict[TopicPartition, list[Record]]
Positions = dict[TopicPartition, int]


class MemoryBus:
    """Topics as lists, groups as dictionaries, one lock and one condition for all."""

    def __init__(self, *, partitions: int) -> None:
        """Start empty; a topic ordered by entity is spread over `partitions`."""
        self._partitions = partitions
        self._changed = threading.Condition()
        self._logs: dict[TopicPartition, list[Record]] = {}
        self._partition_count: dict[str, int] = {}
        self._groups: dict[str, _Group] = defaultdict(_Group)
        self._sole_writers: dict[str, MemorySoleWriter] = {}

    def create_topics(self, topics: Iterable[Topic]) -> None:
        with self._changed:
            for topic in topics:
                self._create(topic.name, self._partitions if topic.ordered_by_entity else 1)
                if topic.read_by:
                    self._create(topic.dead_letter_name, 1)

    def publisher(self) -> "MemoryPublisher":
        return MemoryPublisher(self)

    def sole_writer(self, topic: str) -> "MemorySoleWriter":
        with self._changed:
            self._sole_writers[topic] = MemorySoleWriter(self, topic)
            return self._sole_writers[topic]

    def subscribe(
        self,
        group: str,
        topics: Sequence[str],
        *,
        instance: str,
        in_order: bool = False,
        gather_seconds: float = 0.0,  # noqa: ARG002 - there is nothing to save
    ) -> "MemorySubscription":
        return MemorySubscription(self, group, topics, instance, in_order=in_order)

    def tail(self, topics: Sequence[str], *, start: Start, in_order: bool = False) -> "MemoryTail":
        return MemoryTail(self, topics, start, in_order=in_order)

    def group_lag(self, group: str, topics: Sequence[str]) -> Mapping[TopicPartition, int]:
        with self._changed:
            committed = self._groups[group].committed
            return {place: len(self._logs[place]) - committed.get(place, 0) for place in self._places(topics)}

    def has_committed(self, group: str, topics: Sequence[str]) -> bool:
        with self._changed:
            return any(place.topic in topics and at > 0 for place, at in self._groups[group].committed.items())

    def reachable(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing is held open."""

    def _create(self, name: str, partitions: int) -> None:
        if name not in self._partition_count:
            self._partition_count[name] = partitions
            for partition in range(partitions):
                self._logs[TopicPartition(name, partition)] = []

    def _places(self, topics: Sequence[str]) -> list[TopicPartition]:
        return [TopicPartition(topic, p) for topic in topics for p in range(self._partition_count[topic])]

    def _append(self, outgoing: Sequence[Outgoing]) -> None:
        for record in outgoing:
            within_bounds(record.headers)
        for topic, key, value, produced_ms, headers in outgoing:
            place = TopicPartition(topic, zlib.crc32(key) % self._partition_count[topic])
            log = self._logs[place]
            at_ms = int(time.time() * 1000) if produced_ms is None else produced_ms
            log.append(Record(topic, place.partition, len(log), key, value, at_ms, headers))
        self._changed.notify_all()


class _Group:
    """Who is in a group, who owns what, and how far the group has come."""

    def __init__(self) -> None:
        self.members: dict[str, MemorySubscription] = {}
        self.committed: dict[TopicPartition, int] = {}
        self.generation = 0

    def rebalance(self, bus: MemoryBus) -> None:
        self.generation += 1
        for member in self.members.values():
            member.positions.clear()
        readers: dict[str, list[MemorySubscription]] = defaultdict(list)
        for _, member in sorted(self.members.items()):
            for topic in member.topics:
                readers[topic].append(member)
        for topic, members in readers.items():
            for place in bus._places([topic]):
                members[place.partition % len(members)].positions[place] = self.committed.get(place, 0)


class MemoryPublisher:
    """Appends at once."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus

    def send(self, outgoing: Outgoing) -> "Future[None]":
        with self._bus._changed:
            self._bus._append([outgoing])
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def close(self) -> None:
        """Nothing is queued."""


class MemorySoleWriter:
    """Appends while it is the one opened last."""

    def __init__(self, bus: MemoryBus, topic: str) -> None:
        self._bus = bus
        self._topic = topic

    def write(self, outgoing: Sequence[Outgoing]) -> None:
        with self._bus._changed:
            if self._bus._sole_writers[self._topic] is not self:
                raise FencedError(f"another sole writer of {self._topic} was opened; open one again")
            self._bus._append(outgoing)

    def close(self) -> None:
        """Nothing is held open."""


class MemorySubscription:
    """A member of a group."""

    def __init__(
        self, bus: MemoryBus, group: str, topics: Sequence[str], instance: str, *, in_order: bool = False
    ) -> None:
        self._bus = bus
        self._in_order = in_order
        self._group = bus._groups[group]
        self._instance = instance
        self.topics = tuple(topics)
        self.positions: dict[TopicPartition, int] = {}
        self._generation_polled: int | None = None
        with bus._changed:
            self._group.members[instance] = self
            self._group.rebalance(bus)

    def poll(self, *, records_max: int, wait_seconds: float, linger_seconds: float = 0.0) -> list[Record]:
        changed = self._bus._changed
        with changed:
            changed.wait_for(self._waiting, wait_seconds)
            if linger_seconds:
                changed.wait_for(lambda: self._waiting() >= records_max, linger_seconds)
            self._generation_polled = self._group.generation
            taken = _oldest if self._in_order else _next
            return taken(self._bus._logs, self.positions, records_max)

    def commit(self, outgoing: Sequence[Outgoing] = ()) -> None:
        with self._bus._changed:
            owner = self._group.members.get(self._instance)
            if owner is not self or self._group.generation != self._generation_polled:
                raise FencedError(f"{self._instance} was rebalanced after it polled; subscribe again")
            self._bus._append(outgoing)
            self._group.committed.update(self.positions)

    def standing(self) -> Mapping[TopicPartition, Standing]:
        logs = self._bus._logs
        with self._bus._changed:
            # What it did not return itself was returned before: a group starts at the oldest record.
            return {
                place: Standing(len(logs[place]) - at, logs[place][at - 1].produced_ms if at else None)
                for place, at in self.positions.items()
            }

    def close(self) -> None:
        with self._bus._changed:
            if self._group.members.get(self._instance) is self:
                del self._group.members[self._instance]
                self._group.rebalance(self._bus)

    def _waiting(self) -> int:
        return sum(len(self._bus._logs[place]) - at for place, at in self.positions.items())


class MemoryTail:
    """Reads every partition on its own."""

    def __init__(self, bus: MemoryBus, topics: Sequence[str], start: Start, *, in_order: bool) -> None:
        self._bus = bus
        self._in_order = in_order
        with bus._changed:
            logs = {place: bus._logs[place] for place in bus._places(topics)}
            self._ends_at_open = {place: len(log) for place, log in logs.items()}
            self._positions = {place: _first(log, start) for place, log in logs.items()}

    def poll(self, *, wait_seconds: float, records_max: int = 10_000) -> list[Record]:
        changed = self._bus._changed
        logs = self._bus._logs
        with changed:
            changed.wait_for(lambda: any(len(logs[p]) > at for p, at in self._positions.items()), wait_seconds)
            taken = _oldest if self._in_order else _next
            return taken(logs, self._positions, records_max)

    def caught_up(self) -> bool:
        return all(self._positions[place] >= end for place, end in self._ends_at_open.items())

    def close(self) -> None:
        """Nothing is held open."""


def _first(log: Sequence[Record], start: Start) -> int:
    """Return the offset that a tail starts at."""
    if start == "oldest":
        return 0
    if start == "newest":
        return len(log)
    since_ms = first_ms(start)
    return next((record.offset for record in log if record.produced_ms >= since_ms), len(log))


def _next(logs: Logs, positions: Positions, records_max: int) -> list[Record]:
    """Take records partition by partition, and move the positions on."""
    records: list[Record] = []
    for place, position in positions.items():
        taken = logs[place][position : position + records_max - len(records)]
        positions[place] = position + len(taken)
        records += taken
    return records


def _oldest(logs: Logs, positions: Positions, records_max: int) -> list[Record]:
    """Take the oldest records of all partitions; the whole log is here to choose from."""
    one_more = records_max + 1
    heads = [turns_of(logs[place][at : at + one_more]) for place, at in positions.items()]
    records = [record for _, record in whole_milliseconds(first_turns(heads, one_more), records_max)]
    for record in records:
        positions[TopicPartition(record.topic, record.partition)] += 1
    return records
