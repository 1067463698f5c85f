"""What the stream takes: each service alone on a core, all of them on one and on all, with replicas, and its floors."""

import os
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from services.local.platform import Platform
from services.local.replicas import replicas_of
from shared.bus.base import Bus, Outgoing
from shared.contracts.events import Transaction
from shared.contracts.topics import FEATURES, SCORES, TRANSACTIONS
from shared.features.catalog.fraud import FRAUD
from shared.features.engine import Arrival, FeatureEngine
from shared.features.state import log_origin
from shared.store.redis import RedisStore
from tests.benchmarks.capacity_load import (
    PAUSE_SECONDS,
    Worked,
    consumed,
    cores,
    fill,
    held,
    pin,
    pin_platform,
    worked_off,
)
from tests.benchmarks.http_load import Job, post, run
from tests.benchmarks.process_usage import usage_of
from tests.benchmarks.served_model import ServedModel
from tests.benchmarks.stream import Trip

BATCH = 500
CALLERS = 16
BATCH_PAYMENTS = 100
"""In one request to ingest."""
CPU_PARTS = ("features", "scoring")


class Answered(NamedTuple):
    """What ingest takes on one core: payments a second, and its processor time for each."""

    per_second: float
    cpu_us: float


class Floor(NamedTuple):
    """What a payment costs without us: microseconds of the client's processor time, and of the server's."""

    per_second: float
    client_us: float
    server_us: float


class Stream:
    """A running platform with ingest, features and scoring, and a model in service."""

    def __init__(self, served: ServedModel, count: int) -> None:
        """Take it as it is; count: payments of a backlog."""
        self.served = served
        self.platform: Platform = served.platform
        self._count = count
        self._core, self._others = cores()

    def alone(self) -> tuple[Worked, Worked]:
        """Return what features and scoring take, one after the other, each on a core that it has to itself."""
        pin_platform(self.platform, services=self._core, servers=self._others)
        before = consumed(self.platform, "scoring")
        with held(self.platform, ["scoring"]):
            made = self._worked_off("features", ["features"])
        return made, worked_off(self.platform, "scoring", self._count, before=before)

    def together(self, *, on_one_core: bool) -> Worked:
        """Return what all take at once, Kafka and Redis included, on one core or on all."""
        everything = self._core if on_one_core else self._core | self._others
        pin_platform(self.platform, services=everything, servers=everything)
        names = [name for service in CPU_PARTS for name in replicas_of(service, self.platform.addresses.services)]
        return self._worked_off("scoring", names)

    def scale_to(self, count: int) -> None:
        """Have so many processes of features and of scoring."""
        for service in CPU_PARTS:
            while (running := len(replicas_of(service, self.platform.addresses.services))) != count:
                if running < count:
                    self.platform.add_replica(service)
                else:
                    self.platform.remove_replica(service)

    def latencies_ms(self, per_second: float, seconds: float) -> list[float]:
        """Return how long payments took from produced to decided, at a rate, on all cores."""
        rate = round(per_second)
        return Trip(self.served.bus, TRANSACTIONS, SCORES).latencies_ms(
            self.served.payments(round(rate * seconds)), rate
        )

    def ingest(self, *, in_batches: bool, seconds: float) -> Answered:
        """Return what ingest takes over REST on a core of its own, payment by payment or in batches."""
        pin_platform(self.platform, services=self._core, servers=self._others)
        ingest = self.platform.service("ingest")
        port = int(self.platform.addresses.services["ingest"].rpartition(":")[2])
        size = BATCH_PAYMENTS if in_batches else 1
        payments = self.served.payments(self._count)
        requests = [_request(payments[at : at + size]) for at in range(0, len(payments), size)]
        with held(self.platform, CPU_PARTS):
            before = usage_of(ingest.pid).cpu_seconds
            outcome = run(Job(port=port, requests=requests, connections=CALLERS, seconds_max=seconds))
            used = usage_of(ingest.pid).cpu_seconds - before
        self._settle()
        # Taken in is 202 here, which the load counts under the status's name.
        taken = size * outcome.failures.pop("status 202", 0)
        if outcome.failures or not taken:
            raise SystemExit(f"ingest did not take all: {outcome.failures}")
        return Answered(taken / outcome.seconds, used / taken * 1e6)

    def bytes_each(self, topic: str) -> float:
        """Return what a record takes of the broker's disk, its share of batches and markers included."""
        folders = (self.platform.home / "kafka" / "data").glob(f"{topic}-[0-9]*")
        size = sum(file.stat().st_size for folder in folders for file in folder.glob("*.log"))
        with closing(self.served.bus.tail([topic], start="oldest")) as tail:
            count = 0
            while not tail.caught_up():
                count += len(tail.poll(wait_seconds=0.2))
        return size / count

    def _settle(self) -> None:
        """Wait until nothing is left to do."""
        groups = {"headrace-features-windows": TRANSACTIONS.name, "headrace-scoring-decisions": FEATURES.name}
        for group, topic in groups.items():
            while sum(self.served.bus.group_lag(group, [topic]).values()):
                time.sleep(PAUSE_SECONDS)

    def _worked_off(self, service: str, hold: Sequence[str]) -> Worked:
        payments, before = self.served.payments(self._count), consumed(self.platform, service)
        with held(self.platform, hold):
            fill(self.served.bus, payments)
        return worked_off(self.platform, service, self._count, before=before)


def log_floor(bus: Bus, broker: int, count: int) -> Floor:
    """Return what it costs to read payments and to write vectors' bytes in transactions, on a core, nothing computed.

    broker: its process.
    """
    sink = replace(SCORES, name="capacity-floor")
    bus.create_topics([sink])
    core, others = cores()
    pin(os.getpid(), core)
    with closing(bus.subscribe("capacity-floor", [FEATURES.name], instance="0")) as subscription:
        while not (records := subscription.poll(records_max=BATCH, wait_seconds=1.0)):
            pass
        started, used, server = time.perf_counter(), time.process_time(), usage_of(broker).cpu_seconds
        done = 0
        while records and done < count:
            subscription.commit([Outgoing(sink.name, record.key or b"", record.value or b"") for record in records])
            done += len(records)
            records = subscription.poll(records_max=BATCH, wait_seconds=1.0)
        wall, client = time.perf_counter() - started, time.process_time() - used
        on_server = usage_of(broker).cpu_seconds - server
    pin(os.getpid(), core | others)
    return Floor(done / wall, client / done * 1e6, on_server / done * 1e6)


def store_floor(url: str, server: int, payments: Sequence[Transaction]) -> Floor:
    """Return what the same appends and reads in Redis cost, in batches, nothing computed; server: its process."""
    engine = FeatureEngine(FRAUD)
    arrivals = [Arrival(payment, log_origin(0, 10**9 + at)) for at, payment in enumerate(payments)]
    plans = [engine.plan(arrivals[at : at + BATCH]) for at in range(0, len(arrivals), BATCH)]
    with closing(RedisStore(url, timeout_seconds=10.0)) as store:
        started, used, before = time.perf_counter(), time.process_time(), usage_of(server).cpu_seconds
        for plan in plans:
            store.append_and_read(plan.appends, plan.reads, expire_after=engine.state_lifetime)
        wall, client = time.perf_counter() - started, time.process_time() - used
        on_server = usage_of(server).cpu_seconds - before
    count = len(payments)
    return Floor(count / wall, client / count * 1e6, on_server / count * 1e6)


def features_alone(
    home: Path,
    payments: Sequence[Transaction],
    *,
    partitions: int,
    redis_url: str | None = None,
    stores: Sequence[int] = (),
) -> Worked:
    """Return what one features process takes on a core of its own, on a platform of so many partitions.

    redis_url: another Redis than its own, and `stores` its processes.
    """
    core, others = cores()
    environment = {**os.environ, **({"REDIS_URL": redis_url} if redis_url else {})}
    settings = {"HEADRACE_TOPIC_PARTITIONS": str(partitions)}
    with Platform(home, settings, ["features"], environment=environment) as platform:
        platform.start(lambda _: None)
        pin_platform(platform, services=core, servers=others)
        with held(platform, ["features"]):
            fill(platform.bus(), payments)
        return worked_off(platform, "features", len(payments), before=0, stores=stores)


def _request(payments: Sequence[Transaction]) -> bytes:
    bodies = [msgspec.to_builtins(payment) for payment in payments]
    events = [
        {name: body[name] for name in body.keys() - {"event_id", "schema_version", "trace_id"}} for body in bodies
    ]
    path = f"/v1/{TRANSACTIONS.name}"
    if len(events) == 1:
        return post(path, msgspec.json.encode(events[0]))
    return post(f"{path}/batch", msgspec.json.encode({"events": events}))
