"""The running platform, all services, a model in service and the broker on this machine: `make bench`.

Latency is from just before a payment is produced to its decision read, at fixed rates. The floor is the same trip
through the log alone: produced, and read back from the same topic. Throughput is a backlog worked off; beside it stands
what one Kafka client produces a second. The sustained rate is the highest tried at which the payments without a
decision do not become more.
"""

import tempfile
import threading
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np

from services.local.platform import Platform
from shared.bus.base import Bus, Outgoing, Publisher
from shared.contracts import codec
from shared.contracts.events import Decision, Transaction
from shared.contracts.topics import INTERACTIONS, SCORES, TRANSACTIONS, Topic
from tests.benchmarks.report import Figure, publish
from tests.benchmarks.served_model import ServedModel, console, trained

RATES = (100, 500)
"""Payments a second at which latency is measured."""
SECONDS = 15
BACKLOG = 20_000
SHARES_OF_BACKLOG_RATE = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1)
"""Rates tried for long, as shares of the rate at which the backlog was worked off."""
SUSTAINED_SECONDS = 8
WAITING_GROWTH_SECONDS_MAX = 0.25
"""A rate holds when no more payments than come in this time are added to those that wait."""
PAUSE_SECONDS = 0.005
"""Between two handfuls of payments, where a rate is too high to sleep after each of them."""
QUIET_POLLS = 100


def main() -> None:
    publish("stream", "transactions to scores", stream_figures())


def stream_figures() -> list[Figure]:
    """Return what the stream takes and bears; starts the platform, and leaves nothing behind."""
    with tempfile.TemporaryDirectory() as home, Platform(Path(home)) as platform:
        platform.start(lambda line: console.print(line, style="dim"))
        served = ServedModel(platform)
        served.put_into_service(trained(served.learnt, 1))
        figures = [figure for rate in RATES for figure in latency_figures(served, rate)]
        produced, decided = drained(platform.bus(), served.payments(BACKLOG))
        figures.append(
            Figure(
                "payments_per_second", "payments decided a second", decided, produced, "one client producing", "3,000"
            )
        )
        figures.append(
            Figure(
                "sustained_per_second", "highest rate that holds, a second", sustained(served, decided), goal="3,000"
            )
        )
        return figures


def latency_figures(served: ServedModel, rate: int) -> list[Figure]:
    payments = served.payments(rate * SECONDS)
    ours = Trip(served.bus, TRANSACTIONS, SCORES).latencies_ms(payments, rate)
    floor = Trip(served.bus, INTERACTIONS, INTERACTIONS).latencies_ms(payments, rate)
    return [
        Figure(
            f"p{share}_ms_at_{rate}",
            f"produce to decision, p{share} ms, {rate} payments/s",
            float(np.percentile(ours, share)),
            float(np.percentile(floor, share)),
            "the log alone",
            goal,
        )
        for share, goal in ((50, "20"), (99, "100"))
    ]


def sustained(served: ServedModel, backlog_rate: float) -> float:
    """Return the highest rate tried, from the lowest on, until one does not hold; 0 when none does."""
    holds = 0.0
    for share in SHARES_OF_BACKLOG_RATE:
        rate = round(backlog_rate * share)
        waiting = Trip(served.bus, TRANSACTIONS, SCORES).waiting_by_half(
            served.payments(rate * SUSTAINED_SECONDS), rate
        )
        console.print(f"{rate:,} a second: {waiting[0]:,} wait half way, {waiting[1]:,} at the end", style="dim")
        if waiting[1] - waiting[0] > rate * WAITING_GROWTH_SECONDS_MAX:
            break
        holds = float(rate)
    return holds


class Trip:
    """Payments on their way from one topic to another, or to the same."""

    def __init__(self, bus: Bus, source: Topic, sink: Topic) -> None:
        self._source = source
        self._identity: Callable[[bytes], str] = _payment_decided if sink is SCORES else _payment
        self._tail = bus.tail([sink.name], start="newest")
        self._publisher = bus.publisher()
        self._made: dict[str, float] = {}
        self._arrived: dict[str, float] = {}

    def latencies_ms(self, payments: list[Transaction], rate: int) -> list[float]:
        """Produce `payments` at `rate` a second; return how long each took to arrive, in milliseconds."""
        self._take(payments, rate)
        return [(self._arrived[identity] - made) * 1000 for identity, made in self._made.items()]

    def waiting_by_half(self, payments: list[Transaction], rate: int) -> tuple[int, int]:
        """Produce `payments` at `rate` a second; return how many were on their way after the first half, and after all."""
        self._take(payments, rate)
        made, arrived = sorted(self._made.values()), sorted(self._arrived.values())
        ends = made[len(made) // 2], made[-1]
        first, second = (int(np.searchsorted(made, end) - np.searchsorted(arrived, end)) for end in ends)
        return first, second

    def _take(self, payments: list[Transaction], rate: int) -> None:
        producer = threading.Thread(target=self._produce, args=(payments, rate))
        producer.start()
        quiet = 0
        while len(self._arrived) < len(payments) and quiet < QUIET_POLLS:
            records = self._tail.poll(wait_seconds=0.2)
            now = time.perf_counter()
            quiet = 0 if records else quiet + 1
            self._arrived |= {self._identity(record.value or b""): now for record in records}
        producer.join()
        self._publisher.close()
        self._tail.close()
        if len(self._arrived) < len(payments):
            raise SystemExit(f"only {len(self._arrived)} of {len(payments)} arrived; see the services' logs")

    def _produce(self, payments: list[Transaction], rate: int) -> None:
        records = [_record(self._source, payment) for payment in payments]
        started = time.perf_counter()
        for number, payment, record in zip(count(), payments, records, strict=False):
            ahead_seconds = started + number / rate - time.perf_counter()
            if ahead_seconds > 0 and (1 / rate > PAUSE_SECONDS or ahead_seconds > PAUSE_SECONDS):
                time.sleep(ahead_seconds)
            self._made[payment.transaction_id] = time.perf_counter()
            self._publisher.send(record)


def drained(bus: Bus, payments: list[Transaction]) -> tuple[float, float]:
    """Produce a backlog at once; return payments a second produced, and decided."""
    tail = bus.tail([SCORES.name], start="newest")
    publisher = bus.publisher()
    records = [_record(TRANSACTIONS, payment) for payment in payments]
    started = time.perf_counter()
    _send_all(publisher, records)
    produced = len(payments) / (time.perf_counter() - started)
    arrived = quiet = 0
    while arrived < len(payments) and quiet < QUIET_POLLS:
        more = len(tail.poll(wait_seconds=0.2))
        quiet = 0 if more else quiet + 1
        arrived += more
    decided = arrived / (time.perf_counter() - started)
    publisher.close()
    tail.close()
    if arrived < len(payments):
        raise SystemExit(f"only {arrived} of {len(payments)} were decided; see the services' logs")
    return produced, decided


def _send_all(publisher: Publisher, records: list[Outgoing]) -> None:
    for sent in [publisher.send(record) for record in records]:
        sent.result(timeout=120)


def _record(topic: Topic, payment: Transaction) -> Outgoing:
    return Outgoing(topic.name, payment.card_id.encode(), codec.encode(payment))


def _payment(value: bytes) -> str:
    return codec.decode(Transaction, value).transaction_id


def _payment_decided(value: bytes) -> str:
    return codec.decode(Decision, value).transaction_id


if __name__ == "__main__":
    main()
