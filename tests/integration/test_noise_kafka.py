"""Noise on a real topic: each piece is set aside with its reason, and every payment around it is answered."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import kafka
import pytest

from services.features.handlers import FeaturesHandler
from shared.bus.kafka import KafkaBus
from shared.contracts import codec
from shared.contracts.events import DeadLetter, FeatureVector, Transaction
from shared.contracts.topics import FEATURES, TOPICS, TRANSACTIONS
from shared.features.catalog.fraud import FRAUD
from shared.features.engine import FeatureEngine
from shared.runtime.clock import SystemClock
from shared.runtime.dead_letters import VALUE_BYTES_MAX
from shared.runtime.loop import Loop
from shared.store.memory import MemoryStore
from tests.events import payment

pytestmark = pytest.mark.servers

CARD = "noisy-card"
GOOD = [payment(f"noisy-{n}", card_id=CARD) for n in range(6)]
ENCODED = codec.encode(GOOD[0])
NOISE: list[tuple[bytes | None, bytes | None, str]] = [
    (None, ENCODED, "missing_key"),
    (CARD.encode(), None, "empty"),
    (CARD.encode(), b"\xff" * 1_000_000, "not_json"),
    (CARD.encode(), b'{"amount": 12}', "invalid"),
    (CARD.encode(), ENCODED.replace(b'"schema_version":1', b'"schema_version":2'), "unknown_version"),
    (CARD.encode(), ENCODED.replace(b'"2026-03-02', b'"9026-03-02'), "out_of_range"),
    (b"someone-else", ENCODED, "wrong_key"),
]


@contextmanager
def features_running(bus: KafkaBus) -> Iterator[None]:
    handler = FeaturesHandler(FeatureEngine(FRAUD), MemoryStore(SystemClock()))
    loop = Loop(
        service="features",
        name="noise-test",
        bus=bus,
        topics=[TRANSACTIONS.name],
        handler=handler,
        clock=SystemClock(),
        instance="0",
    )
    stop = threading.Event()
    thread = threading.Thread(target=loop.run, args=(stop,))
    thread.start()
    yield
    stop.set()
    thread.join()


def test_every_kind_of_noise_is_set_aside_and_the_stream_goes_on(kafka_servers: str, kafka_bus: KafkaBus) -> None:
    kafka_bus.create_topics(TOPICS)
    tail = kafka_bus.tail([FEATURES.name, TRANSACTIONS.dead_letter_name], start="newest")
    producer = kafka.KafkaProducer(bootstrap_servers=kafka_servers, max_request_size=2_000_000)
    producer.send(TRANSACTIONS.name, key=CARD.encode(), value=codec.encode(GOOD[0]))
    for (key, value, _), good in zip(NOISE, [*GOOD[1:], None, None], strict=True):
        # One partition, so that the noise stands between the payments.
        producer.send(TRANSACTIONS.name, key=key, value=value, partition=0)
        if good is not None:
            producer.send(TRANSACTIONS.name, key=CARD.encode(), value=codec.encode(good))
    producer.flush()
    letters: list[DeadLetter] = []
    own: list[Transaction] = []
    with features_running(kafka_bus):
        for _ in range(300):
            for record in tail.poll(wait_seconds=0.2):
                if record.topic == TRANSACTIONS.dead_letter_name:
                    letters.append(codec.decode(DeadLetter, record.value or b""))
                elif record.key == CARD.encode():  # other tests have left payments on the topic
                    own.append(codec.decode(FeatureVector, record.value or b"").transaction)
            if len(letters) >= len(NOISE) and len(own) >= len(GOOD):
                break
    producer.close()
    assert sorted(own, key=lambda event: event.transaction_id) == GOOD
    assert sorted(letter.error for letter in letters) == sorted(error for _, _, error in NOISE)
    by_error = {letter.error: letter for letter in letters}
    for key, value, error in NOISE:
        letter = by_error[error]
        assert (letter.key, letter.value, letter.partition) == (key, value, 0)
        assert letter.value_bytes_total == len(value or b"") <= VALUE_BYTES_MAX
        assert letter.explanation
