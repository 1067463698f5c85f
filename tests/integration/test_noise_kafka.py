"""Noise on real topics: each piece is set aside with its reason, and the payments around it get their own features."""

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import kafka
import pytest

from shared.bus.base import Bus, Outgoing, Tail
from shared.bus.kafka import KafkaBus
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.events import DeadLetter, FeatureVector
from shared.contracts.topics import FEATURES, LABELS, TOPICS, TRANSACTIONS, Topic
from shared.runtime.clock import ManualClock
from shared.runtime.dead_letters import KEY_BYTES_MAX, VALUE_BYTES_MAX
from shared.runtime.loop import Loop, LoopOptions
from tests.events import label, payment
from tests.features import features_handler
from tests.unit.ingest.bad_payments import BAD, CARD, FUTURE_SECONDS_MAX, MERCHANT
from tests.unit.ingest.serving import NOW

pytestmark = pytest.mark.servers

KEY = CARD.encode()
GOOD = [
    payment(f"good-{n}", after=timedelta(minutes=n), card_id=CARD, merchant_id=MERCHANT, device_id="d1", user_id="u1")
    for n in range(6)
]
ENCODED = codec.encode(GOOD[0])
AHEAD = label(GOOD[0], known_after=NOW - GOOD[0].occurred_at + timedelta(seconds=FUTURE_SECONDS_MAX + 1))


class Noise(NamedTuple):
    topic: Topic
    key: bytes | None
    value: bytes | None
    error: str


NOISE = [
    *(Noise(TRANSACTIONS, KEY, bad.body, bad.error) for bad in BAD.values()),
    Noise(TRANSACTIONS, None, ENCODED, "missing_key"),
    Noise(TRANSACTIONS, KEY, None, "empty"),
    Noise(TRANSACTIONS, KEY, b"", "not_json"),
    Noise(TRANSACTIONS, KEY, b"\xff" * 1_000_000, "not_json"),
    Noise(TRANSACTIONS, KEY, b'{"amount": 12}', "invalid"),
    Noise(TRANSACTIONS, KEY, ENCODED.replace(b'"schema_version":1', b'"schema_version":2'), "unknown_version"),
    Noise(TRANSACTIONS, b"someone-else", ENCODED, "wrong_key"),
    Noise(TRANSACTIONS, b"", ENCODED, "wrong_key"),
    Noise(TRANSACTIONS, b"k" * 1_900_000, ENCODED, "wrong_key"),
    Noise(LABELS, KEY, codec.encode(AHEAD), "ahead_of_clock"),
    Noise(LABELS, KEY, codec.encode(AHEAD).replace(b'"fraud"', b'"perhaps"'), "invalid"),
]


@contextmanager
def features_running(bus: Bus) -> Iterator[None]:
    loop = Loop(
        service="features",
        name="noise-test",
        bus=bus,
        topics=[TRANSACTIONS.name, LABELS.name],
        handler=features_handler(),
        clock=ManualClock(NOW),
        instance="0",
        options=LoopOptions(future_max=timedelta(seconds=FUTURE_SECONDS_MAX)),
    )
    stop = threading.Event()
    thread = threading.Thread(target=loop.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class Seen:
    """What has come of the card's payments, and of the noise: by transaction, and by where the noise stood."""

    def __init__(self) -> None:
        self.vectors: dict[str, list[float]] = {}
        self.letters: dict[tuple[str, int, int], DeadLetter] = {}

    def read(self, tail: Tail, *, vectors: int, letters: Collection[tuple[str, int, int]] = ()) -> None:
        for _ in range(300):
            for record in tail.poll(wait_seconds=0.2):
                if record.topic != FEATURES.name:
                    letter = codec.decode(DeadLetter, record.value or b"")
                    self.letters[letter.topic, letter.partition, letter.offset] = letter
                elif record.key == KEY:  # other tests have left payments on the topic
                    vector = codec.decode(FeatureVector, record.value or b"")
                    self.vectors[vector.transaction.transaction_id] = vector.values
            if len(self.vectors) >= vectors and self.letters.keys() >= set(letters):
                return


def vectors_without_noise() -> Mapping[str, list[float]]:
    bus, seen = MemoryBus(partitions=1), Seen()
    bus.create_topics(TOPICS)
    publisher = bus.publisher()
    for good in GOOD:
        publisher.send(Outgoing(TRANSACTIONS.name, KEY, codec.encode(good)))
    with features_running(bus):
        seen.read(bus.tail([FEATURES.name], start="oldest"), vectors=len(GOOD))
    return seen.vectors


def test_every_kind_of_noise_is_set_aside_and_poisons_no_window(kafka_servers: str, kafka_bus: KafkaBus) -> None:
    kafka_bus.create_topics(TOPICS)
    names = [FEATURES.name, TRANSACTIONS.dead_letter_name, LABELS.dead_letter_name]
    tail = kafka_bus.tail(names, start="newest")
    producer = kafka.KafkaProducer(bootstrap_servers=kafka_servers, max_request_size=2_000_000)
    partition = producer.send(TRANSACTIONS.name, key=KEY, value=ENCODED).get(30).partition
    places: dict[tuple[str, int, int], Noise] = {}
    for part, good in enumerate(GOOD[1:]):
        # In the payments' own partition, so that the noise stands between them.
        for noise in NOISE[part :: len(GOOD) - 1]:
            sent = producer.send(noise.topic.name, key=noise.key, value=noise.value, partition=partition).get(30)
            places[sent.topic, sent.partition, sent.offset] = noise
        producer.send(TRANSACTIONS.name, key=KEY, value=codec.encode(good)).get(30)
    producer.close()
    seen = Seen()
    with features_running(kafka_bus):
        seen.read(tail, vectors=len(GOOD), letters=places)
    tail.close()

    expected = vectors_without_noise()
    assert seen.vectors.keys() == expected.keys() == {good.transaction_id for good in GOOD}
    for name, values in expected.items():
        assert seen.vectors[name] == pytest.approx(values, rel=1e-9)
    assert {place: letter.error for place, letter in seen.letters.items() if place in places} == {
        place: noise.error for place, noise in places.items()
    }
    for place, noise in places.items():
        letter = seen.letters[place]
        assert letter.key == (None if noise.key is None else noise.key[:KEY_BYTES_MAX])
        assert letter.value == noise.value
        assert letter.value_bytes_total == len(noise.value or b"") <= VALUE_BYTES_MAX
        assert letter.explanation
