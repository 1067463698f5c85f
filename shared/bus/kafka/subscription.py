"""Reading from Kafka as a group, and publishing the answers in the transaction that moves the group on.

Results and offsets are committed in one transaction, fenced by the consumer's group generation (KIP-447): a process
that lost its partitions cannot commit, and one that was killed leaves nothing visible.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import kafka
import kafka.errors
import kafka.structs
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from shared.bus.base import BusUnavailableError, FencedError, Outgoing, Record, Standing, TopicPartition
from shared.bus.kafka.connection import CONNECT_TIMEOUT_MS, SESSION_TIMEOUT_MS, position_of, records_of, translated
from shared.bus.kafka.fetching import WAIT_STEP_SECONDS, Fetching, fetch, have_more
from shared.bus.kafka.transactions import TransactionalWriter
from shared.bus.ordering import FetchedRecords


class KafkaSubscription:
    """A member of a consumer group, and the transactional producer that publishes its results."""

    def __init__(
        self, connection: dict[str, Any], group: str, topics: Sequence[str], instance: str, fetching: Fetching
    ) -> None:
        # Two transactional ids, so that one transaction need not wait for the end of the other. Taken over before the
        # group is joined: it tells no progress while a transaction that a predecessor has left may still change it.
        ids = [f"{group}-{instance}-{number}" for number in range(2)]
        self._writer = translated(lambda: TransactionalWriter(connection, ids, group=group))
        self._membership: Any = None
        self._fetched = FetchedRecords(in_order=fetching.in_order)
        self._revoked: set[Any] = set()
        self._lost_polled = False
        self._polled: set[Any] = set()
        self._newest_ms: dict[Any, int] = {}
        self._committed: dict[Any, int] = {}
        self._heard_from_log = time.monotonic()
        self._any_partition = kafka.structs.TopicPartition(topics[0], 0)
        self.closed = False
        self._consumer: Any = None
        try:
            self._consumer = translated(lambda: _member(connection, group, instance, fetching))
            self._consumer.subscribe(list(topics), listener=_Revocations(self._revoked))
            # The leader of a group that knows no metadata yet assigns nothing, and kafka-python 3.0.12 may then never
            # join again: seen in 4 of 29 subscriptions, in none of 74 with the metadata fetched first.
            translated(self._consumer.topics)
        except BusUnavailableError:
            self.close()
            raise

    def poll(self, *, records_max: int, wait_seconds: float, linger_seconds: float = 0.0) -> list[Record]:
        self._fetch_until(lambda: self._fetched.settled(records_max), wait_seconds, step_seconds=WAIT_STEP_SECONDS)
        if linger_seconds and self._fetched.count():
            self._fetch_until(lambda: self._fetched.count() >= records_max, linger_seconds, step_seconds=linger_seconds)
        polled = self._fetched.take(records_max)
        newest = {kafka.structs.TopicPartition(record.topic, record.partition): record.produced_ms for record in polled}
        self._polled.update(newest)
        self._newest_ms.update(newest)
        if not polled:
            self._while_idle()
        return polled

    def commit(self, outgoing: Sequence[Outgoing] = ()) -> None:
        if self._lost_polled:
            raise FencedError("partitions were taken away before what was polled of them was committed")
        positions = self._positions(self._polled)
        if outgoing:
            translated(lambda: self._writer.write(outgoing, positions, self._membership))
        else:
            self._commit_positions(positions)
        self._committed.update(positions)
        self._polled.clear()

    def standing(self) -> Mapping[TopicPartition, Standing]:
        # The high-water mark comes with each fetch; before the first one there is nothing to tell.
        marks = ((place, self._consumer.highwater(place)) for place in self._consumer.assignment())
        highs = {place: int(high) for place, high in marks if high is not None}
        return {
            TopicPartition(*place): Standing(max(0, highs[place] - at), self._newest_ms.get(place))
            for place, at in self._positions(highs).items()
        }

    def close(self) -> None:
        self.closed = True
        self._writer.close()
        if self._consumer is not None:
            # What it could not say goodbye to, it will be missed by: the group notices, and nothing is committed here.
            with contextlib.suppress(kafka.errors.KafkaError):
                self._consumer.close(autocommit=False, timeout_ms=CONNECT_TIMEOUT_MS)

    def _fetch_until(self, enough: Callable[[], bool], seconds: float, *, step_seconds: float) -> None:
        """Fetch until there is `enough`, at most for about `seconds`; join the group's rebalance in any case.

        step_seconds: looked again after as long when something is held: the client does not tell that a partition
            turned out to have nothing.
        """
        deadline = time.monotonic() + seconds
        left = seconds
        # A rebalance needs the whole time: one cut short is begun anew. The others of the group wait for it.
        while (joining := self._consumer._coordinator.need_rejoin()) or not enough():
            self._fetch(left if joining or not self._fetched.held() else min(left, step_seconds))
            left = deadline - time.monotonic()
            if left <= 0:
                return

    def _fetch(self, wait_seconds: float) -> None:
        """Take over everything the client has fetched; wait for something if it has nothing."""
        batches, waited_seconds = fetch(self._consumer, full=self._fetched.full(), wait_seconds=wait_seconds)
        if batches:
            self._heard_from_log = time.monotonic()
        assigned = self._consumer.assignment()
        self._follow_the_group(assigned)
        for place, batch in batches.items():
            self._fetched.add(place, records_of(batch))
        self._fetched.expect(have_more(self._consumer, assigned), waited_seconds=waited_seconds)

    def _follow_the_group(self, assigned: set[Any]) -> None:
        """Let go of what was taken away; whoever owns it now reads it from the last commit."""
        self._lost_polled = self._lost_polled or not self._revoked.isdisjoint(self._polled)
        self._fetched.forget(self._revoked)
        self._revoked.clear()
        self._fetched.own(assigned)
        membership = self._consumer.group_metadata()
        # A member that has just been put out has none; with its last one the commit is refused, as it must be.
        if membership.generation_id >= 0:
            self._membership = membership

    def _positions(self, places: Iterable[Any]) -> dict[Any, int]:
        """Return the offset of the next record to return, by partition."""
        positions: dict[Any, int] = {}
        for place in places:
            held = self._fetched.next_offset(place)
            # Usually known; after a reconnect the client may have to ask.
            positions[place] = position_of(self._consumer, place) if held is None else held
        return positions

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
            self._commit_positions(passed)
            self._committed.update(passed)

    def _commit_positions(self, positions: Mapping[Any, int]) -> None:
        """Commit progress that nothing is published with."""
        offsets = {place: kafka.structs.OffsetAndMetadata(at, "", -1) for place, at in positions.items()}
        translated(lambda: self._consumer.commit(offsets))


def _member(connection: dict[str, Any], group: str, instance: str, fetching: Fetching) -> Any:
    """Return a consumer that will be a static member of `group` and reads what is committed."""
    return kafka.KafkaConsumer(
        **connection,
        group_id=group,
        group_instance_id=instance,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=SESSION_TIMEOUT_MS // 5,
        max_poll_interval_ms=3_600_000,
        max_partition_fetch_bytes=fetching.bytes_max,
        fetch_min_bytes=fetching.bytes_min,
        fetch_max_wait_ms=fetching.wait_ms,
        metrics_enabled=False,
        partition_assignment_strategy=[CooperativeStickyAssignor],
    )


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
