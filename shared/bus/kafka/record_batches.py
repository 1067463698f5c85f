"""Records to write, as the batches in which a transaction sends them."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from kafka.partitioner.default import murmur2
from kafka.record.memory_records import MemoryRecordsBuilder

from shared.bus.base import Outgoing, TopicPartition, within_bounds

BATCH_BYTES_MAX = 900_000
"""A batch is closed at this size, below what a broker takes by default; a larger record is a batch of its own."""

_MAGIC = 2
_UNCOMPRESSED = 0


class Identity(NamedTuple):
    """Who writes: a producer's id, and its epoch, which rises with each of its transactions."""

    producer_id: int
    epoch: int


@lru_cache(maxsize=65_536)
def _hashed(key: bytes) -> int:
    return int(murmur2(key)) & 0x7FFFFFFF


def rounds_of(
    outgoing: Sequence[Outgoing], identity: Identity, partition_count: Callable[[str], int], *, now_ms: int
) -> list[dict[TopicPartition, bytes]]:
    """Return the record batches of a transaction, by the rounds in which they are sent.

    A round has at most one batch of each partition, which is what a request can hold; the order of `outgoing` stays
    within a partition.

    partition_count: of a topic; a key's partition is the one that Kafka's own clients choose.
    now_ms: when records without a time of their own are produced (milliseconds since the epoch).
    """
    by_place: dict[TopicPartition, list[Outgoing]] = defaultdict(list)
    for record in outgoing:
        by_place[TopicPartition(record.topic, _hashed(record.key) % partition_count(record.topic))].append(record)
    rounds: list[dict[TopicPartition, bytes]] = []
    for place, records in by_place.items():
        for number, batch in enumerate(_batches(records, identity, now_ms)):
            if number == len(rounds):
                rounds.append({})
            rounds[number][place] = batch
    return rounds


def _batches(records: Sequence[Outgoing], identity: Identity, now_ms: int) -> list[bytes]:
    """Return one partition's records as batches; their sequence starts at 0, as the epoch is the transaction's own."""
    batches: list[bytes] = []
    written = 0
    while written < len(records):
        builder = MemoryRecordsBuilder(
            _MAGIC,
            _UNCOMPRESSED,
            BATCH_BYTES_MAX,
            transactional=True,
            producer_id=identity.producer_id,
            producer_epoch=identity.epoch,
            base_sequence=written,
        )
        for _, key, value, produced_ms, headers in records[written:]:
            at_ms = now_ms if produced_ms is None else produced_ms
            if builder.append(at_ms, key, value, within_bounds(headers) if headers else ()) is None:
                break
            written += 1
        builder.close()
        batches.append(builder.buffer())
    return batches
