"""A backlog made while the processes of a platform are held, and how they then work it off."""

import os
import signal
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import httpx

from services.local.platform import Platform
from services.local.replicas import replicas_of, service_of
from shared.bus.base import Bus, Outgoing
from shared.contracts import codec
from shared.contracts.events import Transaction
from shared.contracts.topics import TRANSACTIONS
from shared.runtime.metrics.exposition import parse_exposition
from tests.benchmarks.process_usage import usage_of
from tests.benchmarks.served_model import console

FIRST_SHARE = 0.1
"""Of a backlog, what is worked off before the measurement begins."""
PAUSE_SECONDS = 0.2
_CLIENT = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0))
QUIET_SECONDS_MAX = 60.0
"""So long nothing may be worked off."""


class Worked(NamedTuple):
    """How a backlog was worked off.

    cpu_us: processor time for each payment, user and system, by service or server, over all its processes.
    """

    per_second: float
    cpu_us: dict[str, float]


class _Sample(NamedTuple):
    seconds: float
    done: float
    cpu_seconds: dict[str, float]


def cores() -> tuple[set[int], set[int]]:
    """Return one core to measure on, and the others; on a machine with one core, that twice."""
    first, *others = sorted(os.sched_getaffinity(0))
    return {first}, set(others) or {first}


def pin(process: int, to: Collection[int]) -> None:
    """Let every thread of a process run on these cores only; those that they start inherit it."""
    for task in Path(f"/proc/{process}/task").iterdir():
        with suppress(ProcessLookupError):  # has ended
            os.sched_setaffinity(int(task.name), to)


def pin_platform(platform: Platform, *, services: Collection[int], servers: Collection[int]) -> None:
    """Let the services run on some cores, Kafka and Redis on others."""
    for name in platform.addresses.services:
        if platform.service(name).running():
            pin(platform.service(name).pid, services)
    for name in servers_of(platform):
        pin(platform.server(name).pid, servers)


def servers_of(platform: Platform) -> list[str]:
    """Return which servers this platform started itself."""
    found = []
    for name in ("kafka", "redis"):
        with suppress(KeyError):
            platform.server(name)
            found.append(name)
    return found


@contextmanager
def held(platform: Platform, names: Sequence[str]) -> Iterator[None]:
    """Stop processes where they are, with their partitions, and let them go on."""
    pids = [platform.service(name).pid for name in names]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def fill(bus: Bus, payments: Sequence[Transaction]) -> None:
    """Put payments on `transactions`, and return when the log has them."""
    records = [Outgoing(TRANSACTIONS.name, payment.card_id.encode(), codec.encode(payment)) for payment in payments]
    publisher = bus.publisher()
    for sent in [publisher.send(record) for record in records]:
        sent.result(timeout=120)
    publisher.close()


def worked_off(platform: Platform, service: str, count: int, *, before: float, stores: Sequence[int] = ()) -> Worked:
    """Follow a service through a backlog of `count` payments.

    before: what it had consumed already (see consumed). stores: processes of Redis that the platform did not start.
    """
    samples: list[_Sample] = []
    heard = time.monotonic()
    while not samples or samples[-1].done < count:
        sample = _Sample(time.monotonic(), consumed(platform, service) - before, _cpu_seconds(platform, stores))
        if samples and sample.done > samples[-1].done:
            heard = sample.seconds
        if sample.seconds - heard > QUIET_SECONDS_MAX:
            raise SystemExit(f"{service} stopped at {sample.done:.0f} of {count}; see {platform.home / 'logs'}")
        samples.append(sample)
        time.sleep(PAUSE_SECONDS)
    first, last = _steady(samples, count)
    done = last.done - first.done
    cpu_us = {name: (last.cpu_seconds[name] - first.cpu_seconds[name]) / done * 1e6 for name in last.cpu_seconds}
    worked = Worked(done / (last.seconds - first.seconds), cpu_us)
    told = ", ".join(f"{name} {each_us:,.0f}" for name, each_us in cpu_us.items())
    console.print(f"{service}: {worked.per_second:,.0f} payments/s; CPU us a payment: {told}", style="dim")
    return worked


def _steady(samples: Sequence[_Sample], count: int) -> tuple[_Sample, _Sample]:
    """Return the first and the last sample to measure between.

    The last of all may include a time when there was nothing left to do, so it counts only where there is no other.
    """
    inside = [sample for sample in samples if FIRST_SHARE * count <= sample.done < count]
    if len(inside) >= 2:
        return inside[0], inside[-1]
    return [sample for sample in samples if sample.done < count][-1], samples[-1]


def consumed(platform: Platform, service: str) -> float:
    """Return how many payments the processes of a service have read and committed since they were started."""
    topic = TRANSACTIONS.name if service == "features" else "features"
    return sum(
        sample.value
        for name in replicas_of(service, platform.addresses.services)
        for sample in parse_exposition(_CLIENT.get(f"{platform.addresses.services[name]}/metrics").text)
        if sample.name == "headrace_records_consumed_total" and sample.labels["topic"] == topic
    )


def _cpu_seconds(platform: Platform, stores: Sequence[int]) -> dict[str, float]:
    found = {name: usage_of(platform.server(name).pid).cpu_seconds for name in servers_of(platform)}
    if stores:
        found["redis"] = sum(usage_of(process).cpu_seconds for process in stores)
    for name in platform.addresses.services:
        if platform.service(name).running():
            used = usage_of(platform.service(name).pid).cpu_seconds
            found[service_of(name)] = found.get(service_of(name), 0.0) + used
    return found
