"""Every adapter of the event log, and topics on it that no other test writes to."""

import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

from shared.bus.base import Bus
from shared.bus.kafka import KafkaBus
from shared.bus.memory import MemoryBus
from shared.contracts.topics import SCORES, TRANSACTIONS, Topic
from tests.contracts.reading import PARTITIONS


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.servers)])
def bus(request: pytest.FixtureRequest) -> Iterator[Bus]:
    if request.param == "memory":
        yield MemoryBus(partitions=PARTITIONS)
    else:
        kafka = KafkaBus(request.getfixturevalue("kafka_servers"), partitions=PARTITIONS)
        yield kafka
        kafka.close()


@pytest.fixture
def source(bus: Bus) -> Topic:
    topic = replace(TRANSACTIONS, name=f"source-{uuid.uuid4().hex[:8]}")
    bus.create_topics([topic])
    return topic


@pytest.fixture
def sink(bus: Bus) -> Topic:
    topic = replace(SCORES, name=f"sink-{uuid.uuid4().hex[:8]}")
    bus.create_topics([topic])
    return topic
