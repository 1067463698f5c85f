"""What a core, a partition, a replica and a Redis shard carry, and what 10,000 payments a second need: `make bench-capacity`.

Every service works off a backlog that was made while it was held, on a core of its own; Kafka, Redis and whoever
measures share the others. Processor time for each payment is what the needs are computed from: it does not depend on
who else uses the machine as much as the wall clock does. Of several rounds the cheapest counts.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

from services.local.platform import Platform
from services.local.simulation.simulator import Simulator, SimulatorConfig
from services.local.supervisor import Supervisor
from shared.contracts.events import Transaction
from shared.contracts.topics import FEATURES, SCORES, TRANSACTIONS
from tests.benchmarks.capacity_figures import Results, figures_of
from tests.benchmarks.capacity_load import Worked, cores, pin
from tests.benchmarks.capacity_memory import filled
from tests.benchmarks.capacity_pages import draw, write_page
from tests.benchmarks.capacity_stream import Stream, features_alone, log_floor, store_floor
from tests.benchmarks.report import publish
from tests.benchmarks.served_model import ServedModel, console, trained
from tests.contracts.valkey import ValkeyCluster

SERVICES = ("ingest", "features", "scoring")
PARTITIONS = 8
PARTITIONS_TRIED = (1, 8, 32)
REPLICAS = (1, 2, 4)
SHARES_OF_CAPACITY = (0.5, 0.8)
CARDS = (30_000, 100_000)
ROUNDS = 2
BACKLOG_PER_SECOND = 4_000
"""Payments of a backlog for each of the --seconds: about what a service takes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--seconds", type=float, default=5.0, help="about how long each measurement takes")
    parser.add_argument("--page", action="store_true", help="also write the tables and the picture of docs/capacity.md")
    arguments = parser.parse_args()
    results = measured(arguments.seconds)
    publish("capacity", "what a core carries, and what it takes", figures_of(results))
    if arguments.page:
        write_page(results)
        draw(results)


def measured(seconds: float) -> Results:
    """Return everything; starts platforms one after the other, and leaves nothing behind."""
    count = round(seconds * BACKLOG_PER_SECOND)
    results = _stream_results(count, seconds)
    payments = _simulated(count)
    for partitions in PARTITIONS_TRIED:
        results.by_partitions[partitions] = _alone(payments, partitions=partitions)
    results.by_shards[1] = results.by_partitions[PARTITIONS]
    results.by_shards[3] = _on_cluster(payments)
    for cards in CARDS:
        results.memory[cards] = filled(cards)
    return results


def _stream_results(count: int, seconds: float) -> Results:
    settings = {"HEADRACE_TOPIC_PARTITIONS": str(PARTITIONS)}
    with tempfile.TemporaryDirectory() as home, Platform(Path(home), settings, SERVICES) as platform:
        platform.start(lambda line: console.print(line, style="dim"))
        served = ServedModel(platform)
        served.put_into_service(trained(served.learnt, 1))
        stream = Stream(served, count)
        pairs = [stream.alone() for _ in range(ROUNDS)]
        singly = stream.ingest(in_batches=False, seconds=seconds)
        in_batches = stream.ingest(in_batches=True, seconds=seconds)
        one_core = stream.together(on_one_core=True)
        by_replicas = {1: _best(lambda: stream.together(on_one_core=False))}
        rates = {share: share * by_replicas[1].per_second for share in SHARES_OF_CAPACITY}
        latencies_ms = {share: stream.latencies_ms(rate, 2 * seconds) for share, rate in rates.items()}
        for replicas in REPLICAS[1:]:
            stream.scale_to(replicas)
            by_replicas[replicas] = _best(lambda: stream.together(on_one_core=False))
        stream.scale_to(1)
        url, store = str(platform.addresses.redis), platform.server("redis").pid
        return Results(
            features=_cheapest((pair[0] for pair in pairs), "features"),
            scoring=_cheapest((pair[1] for pair in pairs), "scoring"),
            ingest={"single": singly, "batch": in_batches},
            one_core=one_core,
            by_replicas=by_replicas,
            latencies_ms=latencies_ms,
            log_bytes={topic.name: stream.bytes_each(topic.name) for topic in (TRANSACTIONS, FEATURES, SCORES)},
            log_floor=log_floor(served.bus, platform.server("kafka").pid, count),
            store_floor=store_floor(url, store, served.payments(count)),
        )


def _simulated(count: int) -> list[Transaction]:
    world = SimulatorConfig(cards=2_000, merchants=1_000)
    return [simulated.transaction for simulated in islice(Simulator(world).payments(), count)]


def _alone(
    payments: list[Transaction], *, partitions: int, redis_url: str | None = None, stores: Sequence[int] = ()
) -> Worked:
    with tempfile.TemporaryDirectory() as home:
        return features_alone(Path(home), payments, partitions=partitions, redis_url=redis_url, stores=stores)


def _on_cluster(payments: list[Transaction]) -> Worked:
    """Return what features takes on a Redis Cluster of three."""
    supervisor = Supervisor()
    with tempfile.TemporaryDirectory() as folder:
        try:
            cluster = ValkeyCluster(Path(folder), supervisor)
            stores = [node.pid for node in cluster.nodes]
            for process in stores:
                pin(process, cores()[1])
            return _alone(payments, partitions=PARTITIONS, redis_url=cluster.url, stores=stores)
        finally:
            supervisor.stop()


def _best(measure: Callable[[], Worked], rounds: int = ROUNDS) -> Worked:
    return max((measure() for _ in range(rounds)), key=lambda worked: worked.per_second)


def _cheapest(rounds: Iterable[Worked], service: str) -> Worked:
    return min(rounds, key=lambda worked: worked.cpu_us[service])


if __name__ == "__main__":
    main()
