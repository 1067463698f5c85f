"""What the hot ways cost on their own: `make bench-hot-paths`.

A Kafka transaction by its size, with the client's own pause between two transactions and with ours; producing and
consuming without transactions. What features cost is told by `make bench-features`.
"""

import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

from services.local.broker_jars import find_java, resolve_broker
from services.local.kafka import KafkaServer
from services.local.ports import choose_ports
from services.local.supervisor import Supervisor
from shared.bus.base import Outgoing
from shared.bus.kafka import KafkaBus, subscription
from shared.bus.kafka.connection import TRANSACTION_RETRY_BACKOFF_MS
from shared.contracts.topics import SCORES, TRANSACTIONS
from tests.benchmarks.report import Figure, publish

SIZES = (1, 10, 200, 1_000)
CLIENT_BACKOFF_MS = 100
TRANSACTIONS_EACH = 40
RECORDS = 40_000
VALUE = b"x" * 400


def main() -> None:
    figures: list[Figure] = []
    with ExitStack() as exit_stack, tempfile.TemporaryDirectory() as folder:
        kafka = exit_stack.enter_context(broker(Path(folder)))
        bus = KafkaBus(kafka, partitions=4)
        exit_stack.callback(bus.close)
        figures += transactions(bus)
        figures += plain(bus)
    publish("hot-paths", "hot paths, each on its own", figures)


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    port, controller_port = choose_ports([None, None])
    kafka = KafkaServer(
        folder / "kafka",
        java=find_java(),
        jars=resolve_broker(print),
        port=port,
        controller_port=controller_port,
        log_path=folder / "kafka.log",
    )
    supervisor = Supervisor()
    try:
        supervisor.start(kafka)
        supervisor.wait_ready([kafka], seconds_max=120, say=print)
        yield kafka.bootstrap_servers
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


if __name__ == "__main__":
    main()
