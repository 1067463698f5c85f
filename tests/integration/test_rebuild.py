"""A lost state is told, and refilled from the log or the archive to what it was, while the services run on."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import redis

from services.cli.rebuild import Origin
from services.cli.rebuild import rebuild as headrace_rebuild
from services.features.app import build as build_features
from services.features.handlers import FeaturesHandler
from services.features.rebuild import log_batches
from services.features.settings import FeaturesSettings
from services.local.addresses import KAFKA_VARIABLE, REDIS_VARIABLE
from services.local.broker_jars import find_java
from services.local.kafka import KafkaServer
from services.local.ports import choose_ports
from services.local.redis import RedisServer, find_redis
from services.local.supervisor import Supervisor
from services.training.app import build as build_training
from services.training.settings import TrainingSettings
from shared.bus.base import Outgoing
from shared.bus.kafka import KafkaBus
from shared.contracts import codec
from shared.contracts.events import Event, FeatureVector, Label, Transaction
from shared.contracts.topics import FEATURES, LABELS, TOPICS, TRANSACTIONS
from shared.features.catalog.fraud import FRAUD
from shared.features.engine import FeatureEngine
from shared.features.state import KEY_PREFIX, LABEL_KIND, ORIGIN, records_of
from shared.runtime.clock import SystemClock
from shared.runtime.clock_skew import FutureBound
from shared.runtime.service import Service
from shared.store.memory import MemoryStore
from shared.store.redis import RedisStore
from tests.conftest import READY_SECONDS_MAX
from tests.events import label, payment
from tests.unit.scoring.scoring_scene import running, wait_until

pytestmark = pytest.mark.servers

CLOCK = SystemClock()
GROUPS = {
    "headrace-features-windows": [TRANSACTIONS.name, LABELS.name],
    "headrace-training-archive": [FEATURES.name, LABELS.name],
}
LAST_DIGITS = 1e-9
"""Sums are added up in the order of the state, in which what came before the rebuild stands first."""
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
PAYMENTS = [
    payment(
        f"t{n}",
        after=n * MINUTE,
        amount=100 + n,
        card_id=f"card-{n % 23}",
        merchant_id=f"merchant-{n % 11}",
        device_id=f"device-{n % 17}" if n % 3 else None,
        user_id=f"user-{n % 19}",
    )
    for n in range(400)
]
STREAM: list[Event] = [
    *PAYMENTS[:200],
    payment("late", after=-2 * DAY, card_id="card-5", merchant_id="merchant-4"),
    *(label(of, known_after=5 * MINUTE) for of in PAYMENTS[:200:9]),
    *PAYMENTS[40:60],  # sent twice
    *PAYMENTS[200:],
    *(label(of, "genuine", known_after=DAY) for of in PAYMENTS[:200:18]),
]


@dataclass
class Scene:
    bus: KafkaBus
    redis: redis.Redis
    features: Service
    home: Path

    def send(self, *events: Event, first_ms: int | None = None) -> None:
        publisher = self.bus.publisher()
        for at, event in enumerate(events):
            topic = LABELS if isinstance(event, Label) else TRANSACTIONS
            produced_ms = None if first_ms is None else first_ms + at
            sent = Outgoing(topic.name, topic.key_of(event).encode(), codec.encode(event), produced_ms)
            publisher.send(sent).result(timeout=30)
        publisher.close()

    def settle(self) -> None:
        wait_until(lambda: not any(sum(self.bus.group_lag(*group).values()) for group in GROUPS.items()), "worked off")

    def vector(self, of: Transaction) -> FeatureVector:
        """Send a payment and return its vector."""
        self.send(of)
        self.settle()
        tail = self.bus.tail([FEATURES.name], start="oldest")
        found: list[FeatureVector] = []
        while not tail.caught_up():
            vectors = [codec.decode(FeatureVector, record.value or b"") for record in tail.poll(wait_seconds=0.2)]
            found += [vector for vector in vectors if vector.transaction == of]
        tail.close()
        (vector,) = found
        return vector

    def undisturbed(self, of: Transaction) -> dict[str, float]:
        """Return the features that a service which never lost anything would give."""
        handler = FeaturesHandler(
            FeatureEngine(FRAUD), MemoryStore(CLOCK), CLOCK, age_max=DAY, lag_records=lambda: None
        )
        for batch in log_batches(self.bus, FutureBound(CLOCK, MINUTE)):
            applied = handler.apply(batch)
            for delivery, values in zip(applied.payments, applied.vectors.values.tolist(), strict=True):
                if delivery.event == of:
                    return dict(zip(FRAUD.feature_names, values, strict=True))
        raise AssertionError(f"{of.transaction_id} is not on the log")

    def state(self) -> dict[str, bytes]:
        values: dict[str, bytes] = {}
        for key in self.redis.scan_iter(f"{KEY_PREFIX}*"):
            value = self.redis.get(key)
            assert isinstance(value, bytes)
            values[key.decode()] = value
        return values

    def lose_the_state(self) -> None:
        self.redis.flushall()
        wait_until(lambda: "headrace rebuild" in self.features.problems().get("state", ""), "told to rebuild")

    def rebuild(self, origin: Origin) -> None:
        headrace_rebuild(self.home, origin=origin)
        wait_until(lambda: not self.features.problems(), "ready again")


@pytest.fixture
def scene(
    supervisor: Supervisor, broker_jars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    """A log and a store of this test's own: everything on them is compared."""
    ports = choose_ports([None, None, None])
    log_path = tmp_path / "server.log"
    folder = tmp_path / "kafka"
    kafka = KafkaServer(
        folder, java=find_java(), jars=broker_jars, port=ports[0], controller_port=ports[1], log_path=log_path
    )
    server = RedisServer(tmp_path / "redis", binary=find_redis(), port=ports[2], log_path=log_path)
    supervisor.start(kafka)
    supervisor.start(server)
    try:
        supervisor.wait_ready([kafka, server], seconds_max=READY_SECONDS_MAX, say=print)
        monkeypatch.setenv(KAFKA_VARIABLE, kafka.bootstrap_servers)
        monkeypatch.setenv(REDIS_VARIABLE, server.url)
        yield from served(kafka.bootstrap_servers, server.url, tmp_path, ports[2])
    finally:
        supervisor.stop([kafka, server])


def served(kafka_servers: str, redis_url: str, home: Path, redis_port: int) -> Iterator[Scene]:
    bus = KafkaBus(kafka_servers, partitions=4)
    bus.create_topics(TOPICS)
    features = build_features(
        FeaturesSettings(headrace_home=home), bus, RedisStore(redis_url, timeout_seconds=5), CLOCK
    )
    training = build_training(
        TrainingSettings(headrace_home=home, headrace_training_archive_linger_seconds=0.05),
        KafkaBus(kafka_servers, partitions=4),
        MemoryStore(CLOCK),
        CLOCK,
    )
    with redis.Redis(port=redis_port) as client:
        scene = Scene(bus, client, features, home)
        # All of it waits when the service starts, so the order in which it is read does not depend on the producer.
        scene.send(*STREAM, first_ms=int(CLOCK.now().timestamp() * 1000) - 60_000)
        with running(features, training):
            scene.settle()
            yield scene


def named(vector: FeatureVector) -> dict[str, float]:
    return dict(zip(FRAUD.feature_names, vector.values, strict=True))


def records(value: bytes, *, with_origin: bool = True) -> list[bytes]:
    """Return the different records, in order."""
    found = records_of(value).copy()
    if not with_origin:
        found[found[:, ORIGIN] < LABEL_KIND, ORIGIN] = 0
    return list(dict.fromkeys(record.tobytes() for record in found))


def test_a_lost_state_is_told_and_refilled_to_what_it_was(scene: Scene) -> None:
    before = scene.state()
    assert len(before) == 23 + 11 + 17 + 19
    assert scene.vector(payment("well", after=DAY, card_id="card-0", merchant_id="merchant-0")).degraded == []

    scene.lose_the_state()
    blind = payment("blind", after=DAY + MINUTE, card_id="card-1", merchant_id="merchant-1")
    assert scene.vector(blind).degraded == ["incomplete"]
    scene.rebuild(Origin.KAFKA)
    after = scene.state()
    touched = {key for key, value in after.items() if value != before.get(key)}
    assert len(touched) == 4  # card and merchant of the two payments sent since
    for key in touched:
        assert [record for record in records(after[key]) if record in records(before[key])] == records(before[key])
        assert len(records(after[key])) == len(records(before[key])) + 1
    following = payment("following", after=DAY + 2 * MINUTE, card_id="card-1", merchant_id="merchant-1")
    vector = scene.vector(following)
    assert vector.degraded == []
    assert named(vector) == pytest.approx(scene.undisturbed(following), rel=LAST_DIGITS)

    whole = scene.state()
    scene.lose_the_state()
    scene.rebuild(Origin.ARCHIVE)
    refilled = scene.state()
    assert set(refilled) == set(whole)
    for key, value in whole.items():
        # The place of an archived payment is that of its vector.
        assert set(records(refilled[key], with_origin=False)) == set(records(value, with_origin=False))
    last = payment("last", after=DAY + 3 * MINUTE, card_id="card-1", merchant_id="merchant-1")
    vector = scene.vector(last)
    assert vector.degraded == []
    assert named(vector) == pytest.approx(scene.undisturbed(last), rel=LAST_DIGITS)
