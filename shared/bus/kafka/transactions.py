"""Transactions: records, and the progress of the group that they answer, written together or not at all.

The steps are those of transactions of version 2 (KIP-890, Kafka 4.0 and newer): the broker adds what is written to the
transaction by itself, and every transaction has a producer epoch of its own, so that nothing of an earlier one can slip
into a later one. A transaction is known in full when it begins, hence its requests are made here, on the client's
connections, one after the other in the caller's thread (docs/decisions/0009): no queues, no threads in between.
"""

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import kafka
import kafka.errors
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.protocol.metadata import ApiVersionsRequest, CoordinatorType, FindCoordinatorRequest
from kafka.protocol.producer import EndTxnRequest, InitProducerIdRequest, ProduceRequest, TxnOffsetCommitRequest

from shared.bus.base import BusUnavailableError, Outgoing, TopicPartition
from shared.bus.kafka.connection import CONNECT_TIMEOUT_MS, REQUEST_TIMEOUT_MS, TRANSACTION_TIMEOUT_MS
from shared.bus.kafka.record_batches import Identity, rounds_of
from shared.bus.kafka.unfinished import Open, codes_of_markers, decisions, find_open, marker
from shared.contracts.topics import TOPICS, dead_letter_names

log = logging.getLogger(__name__)

RETRY_SECONDS = 0.002
"""Before a request is made again that the broker could not serve yet, as while the transaction before is closing."""

_PASSING = (
    kafka.errors.ConcurrentTransactionsError,
    kafka.errors.CoordinatorLoadInProgressError,
    kafka.errors.CoordinatorNotAvailableError,
    kafka.errors.NetworkExceptionError,
    kafka.errors.NotEnoughReplicasAfterAppendError,
    kafka.errors.NotEnoughReplicasError,
    kafka.errors.RequestTimedOutError,
)
"""What goes away by itself. Where a leader or a coordinator has moved, the writer is opened again instead."""
_TOPICS = (*(topic.name for topic in TOPICS), *dead_letter_names())
_TopicData = ProduceRequest.TopicProduceData
_OffsetTopic = TxnOffsetCommitRequest.TxnOffsetCommitRequestTopic


@dataclass
class _Producer:
    """A transactional id, who writes under it now, and the connection to its coordinator."""

    transactional_id: str
    identity: Identity
    coordinator: str


class TransactionalWriter:
    """Writes transactions under its transactional ids, in turn, as the only one who uses them since it was opened."""

    def __init__(self, connection: Mapping[str, Any], transactional_ids: Sequence[str], *, group: str = "") -> None:
        """Take the transactional ids over: what others have begun under them is committed or aborted on return.

        transactional_ids: with two of them a transaction begins while the markers of the one before are written.
        group: whose progress goes into the transactions, if any.

        Raises:
            BusUnavailableError: the brokers' transactions are of an older version.
            KafkaError: the brokers do not answer.
        """
        self._net = NetworkSelector()
        self._connections = KafkaConnectionManager(self._net, **connection)
        self._group = group
        try:
            self._connections.bootstrap(CONNECT_TIMEOUT_MS)
            self._net.run(self._open, transactional_ids)
            self._end_unfinished(connection)
        except BaseException:
            self.close()
            raise

    def write(self, outgoing: Sequence[Outgoing], offsets: Mapping[Any, int], membership: Any = None) -> None:
        """Write `outgoing` and the group's `offsets` in one transaction, and wait until it is committed.

        offsets: the next record to read, by partition.
        membership: of the group's member, as it was when it polled: it is fenced by it (KIP-447).

        Raises:
            KafkaError: the outcome is unknown; the writer is of no use after that.
        """
        # What happened to the connections since: those that were closed are opened again.
        self._net.poll(timeout_ms=0)
        self._net.drain()
        self._net.run(self._write, outgoing, offsets, membership)

    def close(self) -> None:
        """Let go of the connections; whoever opens these transactional ids next aborts what was left open."""
        self._connections.close()
        self._net.close()

    def _end_unfinished(self, connection: Mapping[str, Any]) -> None:
        """End what the coordinators have decided and forgotten of the transactions under these ids."""
        producers = {producer.identity.producer_id: producer for producer in self._producers}
        epochs = {number: producer.identity.epoch for number, producer in producers.items()}
        found: list[Open] = self._net.run(find_open, self._net, self._connections, _TOPICS, self._group, epochs)
        for number in {transaction.producer_id for transaction in found}:
            name = producers[number].transactional_id
            of_producer = [transaction for transaction in found if transaction.producer_id == number]
            decided = decisions(connection, name, of_producer)
            for transaction in of_producer:
                how = "committed" if decided[transaction.epoch].is_committed else "aborted"
                log.warning("%s: Kafka had %s a transaction and not ended it in %s", name, how, transaction.place)
                self._net.run(self._marked, transaction, marker(transaction, decided[transaction.epoch]))

    async def _marked(self, transaction: Open, request: Any) -> None:
        await self._served(request, transaction.leader, codes_of_markers)

    async def _open(self, transactional_ids: Sequence[str]) -> None:
        await self._check_version()
        self._group_coordinator = await self._coordinator(CoordinatorType.GROUP, self._group) if self._group else ""
        self._producers = [await self._taken_over(name) for name in transactional_ids]

    async def _check_version(self) -> None:
        answer = await self._connections.send(
            ApiVersionsRequest(
                client_software_name="kafka-python", client_software_version=kafka.__version__, min_version=3
            )
        )
        levels = {feature.name: feature.max_version_level for feature in answer.finalized_features}
        if levels.get("transaction.version", 0) < 2:
            raise BusUnavailableError(
                "transactions of version 2 are needed: Kafka 4.0 or newer, and after an upgrade "
                "`kafka-features.sh upgrade --feature transaction.version=2`"
            )

    async def _taken_over(self, transactional_id: str) -> _Producer:
        coordinator = await self._coordinator(CoordinatorType.TRANSACTION, transactional_id)
        request = InitProducerIdRequest(
            transactional_id=transactional_id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            producer_id=-1,
            producer_epoch=-1,
            max_version=5,
        )
        # Whom the brokers have just named coordinator may not know it yet.
        passing = (*_PASSING, kafka.errors.NotCoordinatorError)
        answer = await self._served(request, coordinator, _own_code, passing)
        return _Producer(transactional_id, Identity(answer.producer_id, answer.producer_epoch), coordinator)

    async def _coordinator(self, kind: CoordinatorType, key: str) -> str:
        request = FindCoordinatorRequest(key_type=kind.value, coordinator_keys=[key], min_version=4)
        answer = await self._served(request, None, lambda a: [a.coordinators[0].error_code])
        return str(self._connections.cluster.add_coordinator(answer.coordinators[0], kind, key))

    async def _write(self, outgoing: Sequence[Outgoing], offsets: Mapping[Any, int], membership: Any) -> None:
        producer = self._producers[0]
        await self._know_topics({record.topic for record in outgoing})
        # Progress and records not at once: of two requests that add to one transaction the broker turns one away.
        if offsets:
            await self._send_progress(producer, offsets, membership)
        for batches in rounds_of(outgoing, producer.identity, self._partition_count, now_ms=int(time.time() * 1000)):
            await self._send_round(producer, batches)
        await self._end(producer)
        self._producers = [*self._producers[1:], producer]

    async def _know_topics(self, topics: set[str]) -> None:
        cluster = self._connections.cluster
        if missing := topics - set(cluster.topics()):
            for topic in missing:
                cluster.add_topic(topic)
            await cluster.refresh_metadata()
        if unknown := [topic for topic in topics if not cluster.partitions_for_topic(topic)]:
            raise BusUnavailableError(f"topic {unknown[0]} does not exist; run `headrace topics --create`")

    def _partition_count(self, topic: str) -> int:
        return len(self._connections.cluster.partitions_for_topic(topic))

    async def _send_progress(self, producer: _Producer, offsets: Mapping[Any, int], membership: Any) -> None:
        request = TxnOffsetCommitRequest(
            transactional_id=producer.transactional_id,
            group_id=self._group,
            producer_id=producer.identity.producer_id,
            producer_epoch=producer.identity.epoch,
            generation_id=membership.generation_id,
            member_id=membership.member_id,
            group_instance_id=membership.group_instance_id,
            topics=_offset_topics(offsets),
            min_version=5,
            max_version=5,
        )
        await self._served(request, self._group_coordinator, _codes_of_offsets)

    async def _send_round(self, producer: _Producer, batches: Mapping[TopicPartition, bytes]) -> None:
        by_leader: dict[Any, dict[TopicPartition, bytes]] = defaultdict(dict)
        for place, batch in batches.items():
            by_leader[self._connections.cluster.leader_for_partition(place)][place] = batch
        for leader, of_leader in by_leader.items():
            request = ProduceRequest(
                transactional_id=producer.transactional_id,
                acks=-1,
                timeout_ms=REQUEST_TIMEOUT_MS,
                topic_data=_topic_data(of_leader),
                min_version=12,
                max_version=12,
            )
            # Who leads a topic that was made a moment ago may not know it yet; a batch that comes twice counts once.
            passing = (*_PASSING, kafka.errors.NotLeaderForPartitionError)
            await self._served(request, leader, _codes_of_batches, passing)

    async def _end(self, producer: _Producer) -> None:
        request = EndTxnRequest(
            transactional_id=producer.transactional_id,
            producer_id=producer.identity.producer_id,
            producer_epoch=producer.identity.epoch,
            committed=True,
            min_version=5,
            max_version=5,
        )
        answer = await self._served(request, producer.coordinator, _own_code)
        producer.identity = Identity(answer.producer_id, answer.producer_epoch)

    async def _served(
        self,
        request: Any,
        node: Any,
        codes: Callable[[Any], Iterable[int]],
        passing: tuple[type[Exception], ...] = _PASSING,
    ) -> Any:
        """Ask until the request is served, any broker where `node` is None; raises what is not `passing` in time."""
        deadline = time.monotonic() + REQUEST_TIMEOUT_MS / 1000
        while True:
            answer = await self._connections.send(request, node)
            failed = [kafka.errors.for_code(code) for code in codes(answer) if code]
            if not failed:
                return answer
            if not all(issubclass(error, passing) for error in failed) or time.monotonic() > deadline:
                raise failed[0]
            await self._net.sleep(RETRY_SECONDS)


def _own_code(answer: Any) -> list[int]:
    return [answer.error_code]


def _codes_of_offsets(answer: Any) -> list[int]:
    return [partition.error_code for topic in answer.topics for partition in topic.partitions]


def _codes_of_batches(answer: Any) -> list[int]:
    return [partition.error_code for topic in answer.responses for partition in topic.partition_responses]


def _offset_topics(offsets: Mapping[Any, int]) -> list[Any]:
    topics: dict[str, list[Any]] = defaultdict(list)
    for (topic, partition), offset in offsets.items():
        topics[topic].append(
            _OffsetTopic.TxnOffsetCommitRequestPartition(
                partition_index=partition, committed_offset=offset, committed_leader_epoch=-1, committed_metadata=""
            )
        )
    return [_OffsetTopic(name=topic, partitions=partitions) for topic, partitions in topics.items()]


def _topic_data(batches: Mapping[TopicPartition, bytes]) -> list[Any]:
    topics: dict[str, list[Any]] = defaultdict(list)
    for (topic, partition), batch in batches.items():
        topics[topic].append(_TopicData.PartitionProduceData(index=partition, records=batch))
    return [_TopicData(name=topic, partition_data=partitions) for topic, partitions in topics.items()]
