"""What the hot ways cost on their own: `make bench-hot-paths`.

A Kafka transaction by its size, ours in turn with one made by the client's own producer; producing and consuming
without transactions. What features cost is told by `make bench-features`.
"""

import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import kafka
import numpy as np

from services.local.broker_jars import find_java, resolve_broker
from services.local.kafka import KafkaServer
from services.local.ports import choose_ports
from services.local.supervisor import Supervisor
from shared.bus.base import Outgoing, Subscription
from shared.bus.kafka import KafkaBus
from shared.contracts.topics import SCORES, TRANSACTIONS
from tests.benchmarks.report import Figure, publish

SIZES = (1, 10, 200, 1_000)
TRANSACTIONS_EACH = 40
CLIENT_RETRY_BACKOFF_MS = 3
"""Between two transactions; with the client's default of 100 a small one takes ten times as long."""
RECORDS = 40_000
VALUE = b"x" * 400


def main() -> None:
    figures: list[Figure] = []
    with ExitStack() as exit_stack, tempfile.TemporaryDirectory() as folder:
        servers = exit_stack.enter_context(broker(Path(folder)))
        bus = KafkaBus(servers, partitions=4)
        exit_stack.callback(bus.close)
        figures += transactions(bus, servers)
        figures += plain(bus)
    publish("hot-paths", "hot paths, each on its own", figures)


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    port, controller_port = choose_ports([None, None])
    server = KafkaServer(
        folder / "kafka",
        java=find_java(),
        jars=resolve_broker(print),
        port=port,
        controller_port=controller_port,
        log_path=folder / "kafka.log",
    )
    supervisor = Supervisor()
    try:
        supervisor.start(server)
        supervisor.wait_ready([server], seconds_max=120, say=print)
        yield server.bootstrap_servers
    finally:
        supervisor.stop()


def transactions(bus: KafkaBus, servers: str) -> list[Figure]:
    mark = uuid.uuid4().hex[:8]
    source, sink = replace(TRANSACTIONS, name=f"source-{mark}"), replace(SCORES, name=f"sink-{mark}")
    bus.create_topics([source, sink])
    reader = bus.subscribe(f"group-{mark}", [source.name], instance="0")
    client = ClientTransactions(servers, f"client-{mark}", source.name)
    figures: list[Figure] = []
    for size in SIZES:
        answers = [Outgoing(sink.name, b"%d" % n, VALUE) for n in range(size)]
        took: dict[str, list[float]] = {"ours": [], "client": []}
        send_all(bus, [Outgoing(source.name, b"k", b"v")] * TRANSACTIONS_EACH)
        for number in range(TRANSACTIONS_EACH):
            read_one(reader)
            started = time.perf_counter()
            reader.commit(answers)
            committed = time.perf_counter()
            client.commit(answers, number)
            took["ours"].append((committed - started) * 1000)
            took["client"].append((time.perf_counter() - committed) * 1000)
        ours, beside = (float(np.median(times)) for times in took.values())
        label = f"transaction of {size} records, p50 ms"
        figures.append(Figure(f"transaction_{size}_records_p50_ms", label, ours, beside, "kafka-python's own producer"))
    reader.close()
    client.close()
    return figures


def read_one(reader: Subscription) -> None:
    while not reader.poll(records_max=1, wait_seconds=1.0):
        pass


class ClientTransactions:
    """The same transactions, by the client's own producer."""

    def __init__(self, servers: str, group: str, source: str) -> None:
        self._group = group
        self._place = kafka.TopicPartition(source, 0)
        self._producer = kafka.KafkaProducer(
            bootstrap_servers=servers,
            transactional_id=group,
            linger_ms=2,
            retry_backoff_ms=CLIENT_RETRY_BACKOFF_MS,
        )
        self._producer.init_transactions()

    def commit(self, answers: list[Outgoing], offset: int) -> None:
        self._producer.begin_transaction()
        for topic, key, value, *_ in answers:
            self._producer.send(topic, value, key)
        offsets = {self._place: kafka.OffsetAndMetadata(offset, "", -1)}
        self._producer.send_offsets_to_transaction(offsets, self._group)
        self._producer.commit_transaction()

    def close(self) -> None:
        self._producer.close()


def send_all(bus: KafkaBus, records: list[Outgoing]) -> None:
    publisher = bus.publisher()
    for sent in [publisher.send(record) for record in records]:
        sent.result(timeout=60)
    publisher.close()


def plain(bus: KafkaBus) -> list[Figure]:
    topic = replace(TRANSACTIONS, name=f"plain-{uuid.uuid4().hex[:8]}")
    bus.create_topics([topic])
    started = time.perf_counter()
    send_all(bus, [Outgoing(topic.name, b"%d" % (n % 1_000), VALUE) for n in range(RECORDS)])
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
