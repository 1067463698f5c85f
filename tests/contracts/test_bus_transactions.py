"""Transactions on Kafka: how they are cut into batches, and what becomes of one that was cut off."""

from typing import Any

import kafka.errors
import pytest
from kafka.partitioner.default import DefaultPartitioner
from kafka.record.memory_records import MemoryRecords

from shared.bus.base import BusUnavailableError, Outgoing, TopicPartition
from shared.bus.kafka import KafkaBus
from shared.bus.kafka.record_batches import BATCH_BYTES_MAX, Identity, rounds_of
from shared.bus.kafka.transactions import TransactionalWriter
from shared.contracts.topics import Topic
from tests.contracts.reading import PARTITIONS, answers, everything, read, values, write

NOW_MS = 1_700_000_000_000


@pytest.fixture
def bus(kafka_bus: KafkaBus) -> KafkaBus:
    """Only Kafka: the memory bus knows no batches, and nothing can cut it off."""
    return kafka_bus


def rounds(outgoing: list[Outgoing], partitions: int = 1) -> list[dict[TopicPartition, bytes]]:
    return rounds_of(outgoing, Identity(7, 3), lambda _: partitions, now_ms=NOW_MS)


def test_a_key_goes_where_other_clients_send_it() -> None:
    keys = [b"card-%d" % n for n in range(50)]
    (batches,) = rounds([Outgoing("t", key, b"v") for key in keys], PARTITIONS)
    sent = {record.key: place.partition for place, batch in batches.items() for record in records_in(batch)}

    class Cluster:
        def topics(self) -> set[str]:
            return {"t"}

        def partitions_for_topic(self, _: str) -> set[int]:
            return set(range(PARTITIONS))

        available_partitions_for_topic = partitions_for_topic

    assert sent == {key: DefaultPartitioner().partition("t", key, key, b"v", b"v", Cluster()) for key in keys}


def test_what_does_not_fit_one_batch_comes_in_rounds_in_its_order() -> None:
    size = BATCH_BYTES_MAX // 3
    (first, second, third) = rounds([Outgoing("t", b"k", b"%d" % n + bytes(size), n) for n in range(5)])
    batches = [one[TopicPartition("t", 0)] for one in (first, second, third)]
    assert [[record.value[:1] for record in records_in(batch)] for batch in batches] == [
        [b"0", b"1"],
        [b"2", b"3"],
        [b"4"],
    ]
    assert [MemoryRecords(batch).next_batch().base_sequence for batch in batches] == [0, 2, 4]
    assert max(map(len, batches)) <= BATCH_BYTES_MAX


def test_a_record_larger_than_a_batch_is_a_batch_of_its_own() -> None:
    large = Outgoing("t", b"k", bytes(BATCH_BYTES_MAX + 1))
    assert [len(records_in(one[TopicPartition("t", 0)])) for one in rounds([large, large])] == [1, 1]


def test_records_keep_their_time_and_others_get_one() -> None:
    (batches,) = rounds([Outgoing("t", b"k", b"v", NOW_MS - 60_000), Outgoing("t", b"k", b"v")])
    assert [record.timestamp for record in records_in(batches[TopicPartition("t", 0)])] == [NOW_MS - 60_000, NOW_MS]


def records_in(batch: bytes) -> list[Any]:
    return list(MemoryRecords(batch).next_batch())


@pytest.mark.servers
def test_answers_larger_than_a_request_are_published_whole_and_in_order(
    bus: KafkaBus, source: Topic, sink: Topic
) -> None:
    write(bus, source, 1)
    subscription = bus.subscribe("group", [source.name], instance="large")
    read(subscription, 1)
    padding = bytes(BATCH_BYTES_MAX // 2)
    subscription.commit([Outgoing(sink.name, b"k", b"%d" % n + padding) for n in range(5)])
    assert [record.value[:1] for record in everything(bus, sink) if record.value] == [
        b"0",
        b"1",
        b"2",
        b"3",
        b"4",
    ]


@pytest.mark.servers
def test_one_transaction_after_the_other_at_once(bus: KafkaBus, source: Topic, sink: Topic) -> None:
    write(bus, source, 40)
    subscription = bus.subscribe("group", [source.name], instance="at-once")
    done = 0
    while done < 40:
        records = subscription.poll(records_max=3, wait_seconds=0.2)
        if records:
            subscription.commit(answers(sink, records))
            done += len(records)
    assert values(everything(bus, sink)) == list(range(40))
    assert sum(bus.group_lag("group", [source.name]).values()) == 0


@pytest.mark.servers
def test_a_transaction_cut_off_before_its_end_is_aborted_by_the_successor(
    bus: KafkaBus, source: Topic, sink: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut_off(_writer: TransactionalWriter, _producer: object) -> None:
        raise kafka.errors.KafkaConnectionError

    write(bus, source, 10)
    first = bus.subscribe("group", [source.name], instance="cut-off")
    with monkeypatch.context() as patched:
        patched.setattr(TransactionalWriter, "_end", cut_off)
        with pytest.raises(BusUnavailableError):
            first.commit(answers(sink, read(first, 10)))
    successor = bus.subscribe("group", [source.name], instance="cut-off")
    successor.commit(answers(sink, read(successor, 10)))
    assert values(everything(bus, sink)) == list(range(10))


@pytest.mark.servers
def test_a_topic_that_does_not_exist_is_named(bus: KafkaBus, source: Topic) -> None:
    write(bus, source, 1)
    subscription = bus.subscribe("group", [source.name], instance="nowhere")
    read(subscription, 1)
    with pytest.raises(BusUnavailableError, match="topic nowhere does not exist"):
        subscription.commit([Outgoing("nowhere", b"k", b"v")])
