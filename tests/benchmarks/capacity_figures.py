"""From what was measured to figures beside their floors, and to what a payment and a card cost."""

from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np

from shared.contracts.topics import BY_NAME
from tests.benchmarks.capacity_load import Worked
from tests.benchmarks.capacity_memory import Filled, bytes_per_card
from tests.benchmarks.capacity_needs import Measured, Needs, needs
from tests.benchmarks.capacity_stream import Answered, Floor
from tests.benchmarks.report import Figure

TARGET_PER_SECOND = 10_000.0
TARGET_CARDS = 10_000_000.0
_DAY = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Results:
    """Everything that was measured.

    features, scoring: each alone on a core. ingest: "single" or "batch". one_core: all of it on one core, Kafka and
    Redis included. by_replicas: features and scoring, so many of each, on all cores. by_partitions, by_shards: features
    alone. latencies_ms: by the share of what one of each takes. memory: by number of cards, then by kind.
    log_bytes: of a payment, by topic.
    """

    features: Worked
    scoring: Worked
    ingest: dict[str, Answered]
    one_core: Worked
    log_floor: Floor
    store_floor: Floor
    log_bytes: dict[str, float]
    by_replicas: dict[int, Worked] = field(default_factory=dict)
    by_partitions: dict[int, Worked] = field(default_factory=dict)
    by_shards: dict[int, Worked] = field(default_factory=dict)
    latencies_ms: dict[float, list[float]] = field(default_factory=dict)
    memory: dict[int, dict[str, Filled]] = field(default_factory=dict)

    @property
    def measured(self) -> Measured:
        """What a payment and a card cost; Kafka's part is that of a payment's way through all services."""
        together = self.by_replicas[1].cpu_us
        cpu_us = {
            "ingest": self.ingest["single"].cpu_us,
            "features": self.features.cpu_us["features"],
            "scoring": self.scoring.cpu_us["scoring"],
            "kafka": together["kafka"],
            "redis": together["redis"],
        }
        kept = {name: BY_NAME[name].retention for name in self.log_bytes}
        return Measured(
            cpu_us=cpu_us,
            log_bytes=self.log_bytes,
            card_bytes=bytes_per_card(self.memory[max(self.memory)]),
            retention_days={name: retention / _DAY for name, retention in kept.items() if retention is not None},
        )

    @property
    def needs(self) -> Needs:
        """What the target needs."""
        return needs(self.measured, per_second=TARGET_PER_SECOND, cards=TARGET_CARDS)


def figures_of(results: Results) -> list[Figure]:
    """Return every figure of the table."""
    return [*_core(results), *_growth(results), *_latency(results), *_cost(results), *_needs(results.needs)]


def _core(results: Results) -> list[Figure]:
    log, store = results.log_floor, results.store_floor
    features, scoring = results.features, results.scoring
    return [
        Figure(
            "features_per_second",
            "features on a core, payments/s",
            features.per_second,
            log.per_second,
            "the log alone: read, write in transactions",
            "3,000",
        ),
        Figure(
            "features_cpu_us",
            "features, CPU us a payment",
            features.cpu_us["features"],
            log.client_us + store.client_us,
            "the log's client and the store's",
        ),
        Figure(
            "features_redis_us",
            "Redis, CPU us a payment",
            features.cpu_us["redis"],
            store.server_us,
            "the same appends and reads, nothing else",
        ),
        Figure(
            "scoring_per_second",
            "scoring on a core, payments/s",
            scoring.per_second,
            log.per_second,
            "the log alone: read, write in transactions",
            "3,000",
        ),
        Figure(
            "scoring_cpu_us", "scoring, CPU us a payment", scoring.cpu_us["scoring"], log.client_us, "the log's client"
        ),
        *(
            Figure(f"ingest_{how}_per_second", f"ingest on a core, {how}, payments/s", answered.per_second)
            for how, answered in results.ingest.items()
        ),
        *(
            Figure(f"ingest_{how}_cpu_us", f"ingest, {how}, CPU us a payment", answered.cpu_us)
            for how, answered in results.ingest.items()
        ),
    ]


def _growth(results: Results) -> list[Figure]:
    one = results.by_replicas[1].per_second
    return [
        Figure("one_core_per_second", "everything on one core, payments/s", results.one_core.per_second),
        *(
            Figure(
                f"replicas_{count}_per_second",
                f"{count} of features and scoring, all cores, payments/s",
                worked.per_second,
                None if count == 1 else one,
                "" if count == 1 else "one of each",
            )
            for count, worked in results.by_replicas.items()
        ),
        *(
            Figure(
                f"replicas_{count}_cpu_us",
                f"{count} of features and scoring, CPU us a payment, all",
                sum(worked.cpu_us.values()),
            )
            for count, worked in results.by_replicas.items()
        ),
        *(
            Figure(f"partitions_{count}_per_second", f"features, {count} partitions, payments/s", worked.per_second)
            for count, worked in results.by_partitions.items()
        ),
        *(
            Figure(f"shards_{count}_{part}_us", f"{count} Redis shards, {part}, CPU us a payment", worked.cpu_us[part])
            for count, worked in results.by_shards.items()
            for part in ("features", "redis")
        ),
    ]


def _latency(results: Results) -> list[Figure]:
    return [
        Figure(
            f"p{share}_ms_at_{load * 100:.0f}_percent",
            f"produce to decision at {load:.0%} of that, p{share} ms",
            float(np.percentile(latencies, share)),
        )
        for load, latencies in results.latencies_ms.items()
        for share in (50, 99)
    ]


def _cost(results: Results) -> list[Figure]:
    topics = [
        Figure(f"{topic}_bytes", f"bytes of a payment on `{topic}`", size) for topic, size in results.log_bytes.items()
    ]
    cards = [
        Figure(f"card_bytes_at_{count}", f"bytes of Redis a card, {count:,} cards", bytes_per_card(kinds))
        for count, kinds in results.memory.items()
    ]
    return [*topics, *cards]


def _needs(needed: Needs) -> list[Figure]:
    target = f"{TARGET_PER_SECOND:,.0f} payments/s"
    return [
        *(Figure(f"needs_{name}_cores", f"{target}: cores of {name}", count) for name, count in needed.cores.items()),
        Figure("needs_partitions", f"{target}: partitions", needed.partitions),
        Figure("needs_redis_gigabytes", f"{TARGET_CARDS:,.0f} cards: GB of Redis", needed.redis_gigabytes),
        Figure("needs_redis_shards", "Redis shards", needed.redis_shards),
        Figure(
            "needs_disk_gigabytes_a_day", f"{target}: GB of log a day, copies included", needed.disk_gigabytes_a_day
        ),
        Figure("needs_disk_terabytes", f"{target}: TB of log kept", needed.disk_terabytes),
        Figure("needs_network_megabits", f"{target}: Mbit/s between machines", needed.network_megabits),
    ]
