"""The running platform, all services and the broker on this machine: `make bench`.

Latency is from just before a payment is produced to its decision read, at fixed rates. The floor is the same trip
through the log alone: produced, and read back from the same topic. Throughput is a backlog worked off; its floor is
what one Kafka client produces a second.
"""

import itertools
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.console import Console

from services.local.platform import Platform
from services.local.simulator import Simulator, SimulatorConfig
from shared.bus.base import Bus, Outgoing
from shared.contracts import codec
from shared.contracts.events import Transaction
from shared.contracts.topics import FEATURES, INTERACTIONS, SCORES, TRANSACTIONS
from tests.benchmarks.report import Figure, publish

RATES = (100, 500)
SECONDS = 20
BACKLOG = 30_000
QUIET_POLLS = 100
WORLD = SimulatorConfig(start=datetime(2026, 1, 1, tzinfo=UTC))
FIRST_MODEL_FREE = "no model is in service: the fallback decides, every other step is taken"

console = Console()


def main() -> None:
    stream = (simulated.transaction for simulated in Simulator(WORLD).payments())
    figures: list[Figure] = []
    with (
        tempfile.TemporaryDirectory() as home,
        Platform(Path(home), services=["features", "scoring"]) as platform,
    ):
        platform.start(lambda line: console.print(line, style="dim"))
        bus = platform.bus()
        drained(bus, list(itertools.islice(stream, 2_000)))  # compiles the window kernels, opens the transactions
        for rate in RATES:
            ours = latencies_ms(bus, stream, rate, TRANSACTIONS.name, SCORES.name)
            floor = latencies_ms(bus, stream, rate, INTERACTIONS.name, INTERACTIONS.name)
            figures += [
                Figure(
                    f"p{share}_ms_at_{rate}",
                    f"produce to decision, p{share} ms, {rate} payments/s",
                    float(np.percentile(ours, share)),
                    float(np.percentile(floor, share)),
                    "the log alone",
                    goal,
                )
                for share, goal in ((50, "20 (a later step)"), (99, "100 (a later step)"))
            ]
        backlog = list(itertools.islice(stream, BACKLOG))
        produced, decided = drained(bus, backlog)
        figures.append(
            Figure(
                "payments_per_second", "payments decided a second", decided, produced, "one client producing", "3,000"
            )
        )
    publish("stream", f"transactions to scores; {FIRST_MODEL_FREE}", figures)


def latencies_ms(bus: Bus, stream: Iterator[Transaction], rate: int, source: str, sink: str) -> list[float]:
    """Produce at `rate` for some seconds; return how long each payment took to come back on `sink`."""
    made: dict[str, float] = {}
    latencies: list[float] = []
    tail = bus.tail([sink], start="newest")
    publisher = bus.publisher()

    def produce() -> None:
        started = time.perf_counter()
        for number, payment in enumerate(itertools.islice(stream, rate * SECONDS)):
            time.sleep(max(0.0, started + number / rate - time.perf_counter()))
            made[payment.transaction_id] = time.perf_counter()
            publisher.send(Outgoing(source, payment.card_id.encode(), codec.encode(payment)))

    producer = threading.Thread(target=produce)
    producer.start()
    quiet = 0
    while len(latencies) < rate * SECONDS and quiet < QUIET_POLLS:
        records = tail.poll(wait_seconds=0.2)
        quiet = 0 if records else quiet + 1
        now = time.perf_counter()
        events = (codec.decode(SCORES.event if sink == SCORES.name else Transaction, r.value or b"") for r in records)
        latencies += [(now - made[event.transaction_id]) * 1000 for event in events]  # type: ignore[attr-defined]
    producer.join()
    publisher.close()
    tail.close()
    if len(latencies) < rate * SECONDS:
        raise SystemExit(f"only {len(latencies)} of {rate * SECONDS} came back on {sink}")
    return latencies


def drained(bus: Bus, payments: list[Transaction]) -> tuple[float, float]:
    """Produce a backlog at once; return payments a second produced, and decided."""
    tail = bus.tail([SCORES.name], start="newest")
    publisher = bus.publisher()
    records = [Outgoing(TRANSACTIONS.name, p.card_id.encode(), codec.encode(p)) for p in payments]
    started = time.perf_counter()
    sent = [publisher.send(record) for record in records]
    for future in sent:
        future.result(timeout=120)
    produced = len(payments) / (time.perf_counter() - started)
    count = quiet = 0
    while count < len(payments) and quiet < QUIET_POLLS:
        arrived = len(tail.poll(wait_seconds=0.2))
        quiet = 0 if arrived else quiet + 1
        count += arrived
    decided = count / (time.perf_counter() - started)
    publisher.close()
    tail.close()
    if count < len(payments):
        raise SystemExit(f"only {count} of {len(payments)} were decided; {FEATURES.name} may show why")
    return produced, decided


if __name__ == "__main__":
    main()
