"""A transaction that Kafka has decided and left open in a partition is ended, as it was decided, by who comes next."""

from collections.abc import Iterator
from typing import Any

import kafka
import pytest
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.protocol.metadata import CoordinatorType
from kafka.protocol.producer import AddPartitionsToTxnRequest, EndTxnRequest, InitProducerIdRequest, ProduceRequest

from shared.bus.base import Outgoing
from shared.bus.kafka import KafkaBus
from shared.bus.kafka.record_batches import Identity, rounds_of
from shared.bus.kafka.transactions import TransactionalWriter, _own_code, _topic_data
from shared.bus.kafka.unfinished import partition_of
from shared.contracts.topics import LISTS, POLICIES

pytestmark = pytest.mark.servers

FORGOTTEN, WRITTEN = POLICIES.name, LISTS.name


class Forgetful(TransactionalWriter):
    """Writes a transaction of which the coordinator knows one of two partitions, as brokers before 4.0 allow it."""

    def write_half_known(self, identifier: str, *, committed: bool | None) -> None:
        """Write to both topics; committed: how the transaction is decided, None: it is not."""
        self._net.run(self._half_known, identifier, committed)

    async def _half_known(self, identifier: str, committed: bool | None) -> None:
        request: Any = InitProducerIdRequest(
            transactional_id=identifier, transaction_timeout_ms=10_000, producer_id=-1, producer_epoch=-1, max_version=4
        )
        coordinator = await self._coordinator(CoordinatorType.TRANSACTION, identifier)
        answer = await self._served(request, coordinator, _own_code)
        identity = Identity(answer.producer_id, answer.producer_epoch)
        topic = AddPartitionsToTxnRequest.AddPartitionsToTxnTopic(name=WRITTEN, partitions=[0])
        request = AddPartitionsToTxnRequest(
            v3_and_below_transactional_id=identifier,
            v3_and_below_producer_id=identity.producer_id,
            v3_and_below_producer_epoch=identity.epoch,
            v3_and_below_topics=[topic],
            max_version=3,
        )
        await self._connections.send(request, coordinator)
        outgoing = [Outgoing(WRITTEN, b"k", identifier.encode()), Outgoing(FORGOTTEN, b"k", identifier.encode())]
        await self._know_topics({WRITTEN, FORGOTTEN})
        for batches in rounds_of(outgoing, identity, lambda _: 1, now_ms=1_700_000_000_000):
            for place, batch in batches.items():
                request = ProduceRequest(
                    transactional_id=identifier,
                    acks=-1,
                    timeout_ms=10_000,
                    topic_data=_topic_data({place: batch}),
                    max_version=11,
                )
                answer = await self._connections.send(request, self._connections.cluster.leader_for_partition(place))
                assert answer.responses[0].partition_responses[0].error_code == 0
        if committed is not None:
            request = EndTxnRequest(
                transactional_id=identifier,
                producer_id=identity.producer_id,
                producer_epoch=identity.epoch,
                committed=committed,
                max_version=4,
            )
            await self._served(request, coordinator, _own_code)


@pytest.fixture
def lenient_broker(kafka_bus: KafkaBus) -> Iterator[KafkaBus]:
    """The broker, which takes for once what it cannot verify to be part of a transaction."""
    kafka_bus.create_topics([POLICIES, LISTS])
    admin = kafka.KafkaAdminClient(**kafka_bus._connection())

    def verify(value: str) -> None:
        setting = {"transaction.partition.verification.enable": value}
        admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "1", setting)])

    verify("false")
    yield kafka_bus
    verify("true")
    admin.close()


def read(bus: KafkaBus, topic: str) -> list[bytes | None]:
    """Return what a reader of committed records sees up to the end of a topic, or as far as it comes."""
    tail = bus.tail([topic], start="oldest")
    values: list[bytes | None] = []
    for _ in range(10):
        values += [record.value for record in tail.poll(wait_seconds=0.3)]
    return values


@pytest.mark.parametrize("committed", [True, False])
def test_what_a_partition_holds_open_is_ended_as_it_was_decided(lenient_broker: KafkaBus, committed: bool) -> None:
    bus, identifier = lenient_broker, f"forgotten-{committed}"
    Forgetful(bus._connection(), [identifier]).write_half_known(identifier, committed=committed)
    value, after = identifier.encode(), f"after-{committed}".encode()
    bus.publisher().send(Outgoing(FORGOTTEN, b"k", after)).result(timeout=30)
    assert (value in read(bus, WRITTEN)) is committed
    assert after not in read(bus, FORGOTTEN), "a reader does not get past the open transaction"
    TransactionalWriter(bus._connection(), [identifier]).close()
    seen = read(bus, FORGOTTEN)
    assert (value in seen) is committed
    assert after in seen


def test_one_that_nobody_decided_is_not_guessed_at(lenient_broker: KafkaBus) -> None:
    bus, identifier = lenient_broker, "undecided"
    Forgetful(bus._connection(), [identifier]).write_half_known(identifier, committed=None)
    # Taken over, it is aborted where the coordinator knows it, and so in the other partition too.
    TransactionalWriter(bus._connection(), [identifier]).close()
    assert identifier.encode() not in [*read(bus, FORGOTTEN), *read(bus, WRITTEN)]
    bus.publisher().send(Outgoing(FORGOTTEN, b"k", b"on")).result(timeout=30)
    assert b"on" in read(bus, FORGOTTEN)


def test_an_internal_topic_is_divided_as_the_brokers_divide_it() -> None:
    assert partition_of("polygenelubricants", 50) == 0, "whose hash is the least of all integers"
    assert [partition_of(name, 4) for name in ("headrace-scoring-decisions", "headrace-features-windows")] == [1, 1]
