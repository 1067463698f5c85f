"""Transactions that Kafka has decided and left open, brought to their end.

A coordinator about to write the markers of a decided transaction takes a partition without a leader for a deleted
one, leaves its marker out, and forgets the transaction (TransactionMarkerChannelManager, Kafka 4.4). Where partitions
have no second copy that happens when a broker stops or starts under load. Whoever reads what is committed then waits
for ever.

Who has just taken a transactional id over knows that every transaction under it is over: one that a partition still
holds open has been forgotten. How it was decided stands in the coordinator's log, `__transaction_state`.
"""

import logging
import struct
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, NamedTuple

import kafka
from kafka.protocol.admin.transactions import DescribeProducersRequest
from kafka.protocol.metadata import MetadataRequest
from kafka.protocol.producer.transaction import WriteTxnMarkersRequest
from kafka.structs import TopicPartition as Place

from shared.bus.base import BusUnavailableError
from shared.bus.kafka.connection import position_of

log = logging.getLogger(__name__)

OFFSETS, STATES = "__consumer_offsets", "__transaction_state"
READ_SECONDS_MAX = 30.0
LEADERS_SECONDS_MAX = 5.0
RETRY_SECONDS = 0.1

_NOBODY = -1

_Marker = WriteTxnMarkersRequest.WritableTxnMarker
_KEY = struct.Struct(">hh")
# Version, producer id, producer epoch, timeout, status: the same in every version of the record.
_VALUE = struct.Struct(">hqhib")


class _Status(IntEnum):
    ONGOING = 1
    PREPARE_COMMIT = 2
    PREPARE_ABORT = 3


class Open(NamedTuple):
    """A transaction that a partition holds open: where, whose, and the last coordinator that wrote a marker there."""

    place: Any
    leader: int
    producer_id: int
    epoch: int
    coordinator_epoch: int


class Decided(NamedTuple):
    """How a transaction ended, and the producer epoch that its markers carry."""

    is_committed: bool
    marker_epoch: int


def partition_of(name: str, count: int) -> int:
    """Return the partition of an internal topic that a group or a transactional id belongs to.

    By Java's String.hashCode, as the brokers do it.
    """
    hashed = 0
    for character in name:
        hashed = (31 * hashed + ord(character)) & 0xFFFFFFFF
    signed = hashed - (hashed >> 31 << 32)
    return (0 if signed == -(1 << 31) else abs(signed)) % count


async def find_open(
    net: Any, connections: Any, topics: Sequence[str], group: str, epochs: Mapping[int, int]
) -> list[Open]:
    """Return what `topics` and a group's progress hold open under producers whose epoch is beyond it.

    A partition whose leader is not there or not ready is waited for, as after a broker's start; for so long only, since
    it may have none for days. What could not be looked at is logged.

    epochs: of the producers just taken over, by producer id.
    """
    deadline = time.monotonic() + LEADERS_SECONDS_MAX
    while True:
        places = await _places(connections, topics, group)
        unanswered = places.pop(_NOBODY, [])
        found: list[Open] = []
        for leader, of_leader in places.items():
            answers = await _producers(connections, leader, of_leader)
            unanswered += [place for place, answer in answers.items() if answer.error_code]
            found += [
                Open(place, leader, state.producer_id, state.producer_epoch, max(state.coordinator_epoch, 0))
                for place, answer in answers.items()
                for state in answer.active_producers
                if state.current_txn_start_offset >= 0 and state.producer_epoch < epochs.get(state.producer_id, -1)
            ]
        if not unanswered or time.monotonic() > deadline:
            break
        await net.sleep(RETRY_SECONDS)
    if unanswered:
        where = ", ".join(f"{place.topic}/{place.partition}" for place in unanswered)
        log.warning("whether a transaction of ours was left open is not known of %s: no leader, or no READ", where)
    return found


async def _places(connections: Any, topics: Sequence[str], group: str) -> dict[int, list[Any]]:
    """Return the partitions of `topics`, and the one that has the group's progress, by leader."""
    asked = [MetadataRequest.MetadataRequestTopic(name=name) for name in (*topics, *([OFFSETS] if group else []))]
    answer = await connections.send(MetadataRequest(topics=asked, allow_auto_topic_creation=False), None)
    by_leader: dict[int, list[Any]] = defaultdict(list)
    for topic in answer.topics:
        wanted = partition_of(group, len(topic.partitions) or 1) if topic.name == OFFSETS else None
        for partition in topic.partitions:
            if wanted in (None, partition.partition_index):
                by_leader[partition.leader_id].append(Place(topic.name, partition.partition_index))
    return by_leader


async def _producers(connections: Any, leader: int, places: Sequence[Any]) -> dict[Any, Any]:
    """Return what a leader says of who writes to its partitions, by partition."""
    by_topic: dict[str, list[int]] = defaultdict(list)
    for place in places:
        by_topic[place.topic].append(place.partition)
    asked = [DescribeProducersRequest.TopicRequest(name=name, partition_indexes=at) for name, at in by_topic.items()]
    answer = await connections.send(DescribeProducersRequest(topics=asked), leader)
    return {Place(topic.name, each.partition_index): each for topic in answer.topics for each in topic.partitions}


def decisions(connection: Mapping[str, Any], transactional_id: str, transactions: Sequence[Open]) -> dict[int, Decided]:
    """Return how `transactions` under a transactional id were decided, by producer epoch, from the coordinator's log.

    Raises:
        BusUnavailableError: the log does not say, or cannot be read.
    """
    consumer = kafka.KafkaConsumer(**connection, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        count = len(consumer.partitions_for_topic(STATES) or ())
        if not count:
            raise BusUnavailableError(f"{STATES} cannot be read: the user of Kafka needs READ on it")
        place = Place(STATES, partition_of(transactional_id, count))
        consumer.assign([place])
        consumer.seek_to_beginning(place)
        end = consumer.end_offsets([place])[place]
        statuses: list[tuple[int, int, int]] = []
        deadline = time.monotonic() + READ_SECONDS_MAX
        while position_of(consumer, place) < end:
            if time.monotonic() > deadline:
                raise BusUnavailableError(f"{STATES}/{place.partition} was not read to its end in {READ_SECONDS_MAX} s")
            for record in consumer.poll(1000).get(place, ()):
                if record.value is not None and _KEY.unpack_from(record.key)[0] == 0:
                    name = record.key[_KEY.size :].decode()
                    if name == transactional_id:
                        _, producer_id, epoch, _, status = _VALUE.unpack_from(record.value)
                        statuses.append((producer_id, epoch, status))
    finally:
        consumer.close(autocommit=False)
    return {transaction.epoch: _decided(statuses, transaction, transactional_id) for transaction in transactions}


def _decided(statuses: Sequence[tuple[int, int, int]], transaction: Open, transactional_id: str) -> Decided:
    """Return what came next after the transaction was under way."""
    is_under_way = False
    for producer_id, epoch, status in statuses:
        if producer_id != transaction.producer_id:
            continue
        if status == _Status.ONGOING:
            is_under_way = epoch == transaction.epoch
        elif is_under_way and status in (_Status.PREPARE_COMMIT, _Status.PREPARE_ABORT):
            return Decided(status == _Status.PREPARE_COMMIT, epoch)
    raise BusUnavailableError(
        f"{transaction.place.topic}/{transaction.place.partition} holds open a transaction of {transactional_id} "
        f"(producer {transaction.producer_id}, epoch {transaction.epoch}), and how it was decided is not known: see "
        "`kafka-transactions.sh find-hanging`, and end it with `kafka-transactions.sh abort`"
    )


def marker(transaction: Open, decided: Decided) -> Any:
    """Return the request that ends a transaction in its partition as it was decided."""
    topic = _Marker.WritableTxnMarkerTopic(
        name=transaction.place.topic, partition_indexes=[transaction.place.partition]
    )
    return WriteTxnMarkersRequest(
        markers=[
            _Marker(
                producer_id=transaction.producer_id,
                producer_epoch=decided.marker_epoch,
                transaction_result=decided.is_committed,
                topics=[topic],
                coordinator_epoch=transaction.coordinator_epoch,
                # Of version 2 where deciding has raised the epoch (KIP-890).
                transaction_version=2 if decided.marker_epoch > transaction.epoch else 1,
            )
        ],
        min_version=2,
    )


def codes_of_markers(answer: Any) -> list[int]:
    """Return the error codes of an answer to it."""
    return [
        partition.error_code for marker in answer.markers for topic in marker.topics for partition in topic.partitions
    ]
