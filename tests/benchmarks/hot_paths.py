"""What the hot ways cost on their own: `make bench-hot-paths`.

A Kafka transaction by its size, with the client's own pause between two transactions and with ours; producing and
consuming without transactions; and the features handler, in memory and on a Redis-protocol server.
"""

import random
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import numpy as np

from services.features.handlers import FeaturesHandler
from services.local.broker_jars import find_java, resolve_broker
from services.local.kafka import KafkaServer
from services.local.ports import choose_ports
from services.local.redis import RedisServer, find_redis
from services.local.supervisor import Supervisor
from shared.bus.base import Outgoing, Record
from shared.bus.kafka import KafkaBus, subscription
from shared.bus.kafka.connection import TRANSACTION_RETRY_BACKOFF_MS
from shared.contracts.topics import SCORES, TRANSACTIONS
from shared.features.catalog.fraud import FRAUD
from shared.features.engine import FeatureEngine
from shared.runtime.clock import SystemClock
from shared.runtime.loop import Delivery
from shared.store.base import Store
from shared.store.memory import MemoryStore
from shared.store.redis import RedisStore
from tests.benchmarks.report import Figure, publish
from tests.events import payment

SIZES = (1, 10, 200, 1_000)
CLIENT_BACKOFF_MS = 100
TRANSACTIONS_EACH = 40
RECORDS = 40_000
VALUE = b"x" * 400
BATCHES = (1, 500)
PAYMENTS = 20_000


def main() -> None:
    figures: list[Figure] = []
    with ExitStack() as exit_stack, tempfile.TemporaryDirectory() as folder:
        kafka, redis = exit_stack.enter_context(servers(Path(folder)))
        bus = KafkaBus(kafka, partitions=4)
        exit_stack.callback(bus.close)
        figures += transactions(bus)
        figures += plain(bus)
        figures += features("memory", MemoryStore(SystemClock()))
        figures += features("redis", RedisStore(redis, timeout_seconds=10))
    publish("hot-paths", "hot paths, each on its own", figures)


@contextmanager
def servers(folder: Path) -> Iterator[tuple[str, str]]:
    port, controller_port, redis_port = choose_ports([None, None, None])
    kafka = KafkaServer(
        folder / "kafka",
        java=find_java(),
        jars=resolve_broker(print),
        port=port,
        controller_port=controller_port,
        log_path=folder / "kafka.log",
    )
    redis = RedisServer(folder / "redis", binary=find_redis(), port=redis_port, log_path=folder / "redis.log")
    supervisor = Supervisor()
    try:
        for server in (kafka, redis):
            supervisor.start(server)
        supervisor.wait_ready([kafka, redis], seconds_max=120, say=print)
        yield kafka.bootstrap_servers, redis.url
    finally:
        supervisor.stop()


def transactions(bus: KafkaBus) -> list[Figure]:
    ours = TRANSACTION_RETRY_BACKOFF_MS
    took: dict[int, dict[int, float]] = {}
    for backoff_ms in (CLIENT_BACKOFF_MS, ours):
        with patch.object(subscription, "TRANSACTION_RETRY_BACKOFF_MS", backoff_ms):
            took[backoff_ms] = committed_ms(bus)
    beside = f"retry_backoff_ms {CLIENT_BACKOFF_MS}, the client's own"
    return [
        Figure(
            f"transaction_{size}_records_p50_ms",
            f"transaction of {size} records, p50 ms",
            took[ours][size],
            took[CLIENT_BACKOFF_MS][size],
            beside,
        )
        for size in SIZES
    ]


def committed_ms(bus: KafkaBus) -> dict[int, float]:
    """Return the median time to commit answers and progress, by the number of records answered."""
    mark = uuid.uuid4().hex[:8]
    source, sink = replace(TRANSACTIONS, name=f"source-{mark}"), replace(SCORES, name=f"sink-{mark}")
    bus.create_topics([source, sink])
    publisher = bus.publisher()
    reader = bus.subscribe(f"group-{mark}", [source.name], instance="0")
    medians: dict[int, float] = {}
    for size in SIZES:
        answers = [Outgoing(sink.name, b"%d" % n, VALUE) for n in range(size)]
        took: list[float] = []
        # Enough waits at any time that one transaction follows the other at once, as under load.
        for sent in [publisher.send(Outgoing(source.name, b"k", b"v")) for _ in range(TRANSACTIONS_EACH)]:
            sent.result(timeout=30)
        while len(took) < TRANSACTIONS_EACH:
            if reader.poll(records_max=1, wait_seconds=1.0):
                started = time.perf_counter()
                reader.commit(answers)
                took.append((time.perf_counter() - started) * 1000)
        medians[size] = float(np.median(took))
    reader.close()
    publisher.close()
    return medians


def plain(bus: KafkaBus) -> list[Figure]:
    topic = replace(TRANSACTIONS, name=f"plain-{uuid.uuid4().hex[:8]}")
    bus.create_topics([topic])
    publisher = bus.publisher()
    started = time.perf_counter()
    sent = [publisher.send(Outgoing(topic.name, b"%d" % (n % 1_000), VALUE)) for n in range(RECORDS)]
    for future in sent:
        future.result(timeout=60)
    produced = RECORDS / (time.perf_counter() - started)
    tail = bus.tail([topic.name], start="oldest")
    started = time.perf_counter()
    count = 0
    while count < RECORDS:
        count += len(tail.poll(wait_seconds=1.0))
    consumed = RECORDS / (time.perf_counter() - started)
    return [
        Figure("produced_per_second", "records of 400 bytes produced a second", produced),
        Figure("consumed_per_second", "records of 400 bytes consumed a second", consumed),
    ]


def features(name: str, store: Store) -> list[Figure]:
    """Return microseconds a payment through the whole handler: plan, round trip, arithmetic, encoding."""
    handler = FeaturesHandler(FeatureEngine(FRAUD), store)
    chance = random.Random(1)
    events = [
        payment(
            f"{name}-{number}",
            after=timedelta(seconds=30 * number),
            card_id=f"card-{chance.randrange(1_000)}",
            merchant_id=f"merchant-{chance.randrange(2_000)}",
        )
        for number in range(PAYMENTS)
    ]
    deliveries = [Delivery(Record(TRANSACTIONS.name, 0, at, b"", b"", 0), event) for at, event in enumerate(events)]
    figures = []
    done = 0
    for size in BATCHES:
        part = deliveries[done : done + (PAYMENTS if size > 1 else 1_000)]
        done += len(part)
        started = time.perf_counter()
        for first in range(0, len(part), size):
            handler(part[first : first + size])
        microseconds = (time.perf_counter() - started) / len(part) * 1e6
        key = f"features_{name}_batches_of_{size}_us"
        figures.append(Figure(key, f"features, {name}, batches of {size}, us a payment", microseconds))
    return figures


if __name__ == "__main__":
    main()
