"""From what was measured to what a rate needs: arithmetic and nothing else."""

import math
from collections.abc import Mapping
from typing import NamedTuple

DAY_SECONDS = 86_400
UTILISATION_MAX = 0.6
"""Of a core or a Redis shard, at the peak: the rest bears bursts, a rebuild, and the loss of one of several."""
PEAK_TO_MEAN = 2.0
"""How much more a second comes at the peak than on the mean of a day."""
COPIES = 3
"""Of each record, on as many brokers."""
MEMORY_SHARE_MAX = 0.7
"""Of a Redis server's memory: the rest bears growth, and the fork of a snapshot."""
SHARD_GIGABYTES = 25.0
"""Most that a Redis shard should hold: a larger one takes minutes to copy."""


class Measured(NamedTuple):
    """What a payment and a card cost.

    cpu_us: processor time of a payment by "ingest", "features", "scoring", "kafka", "redis", microseconds.
    log_bytes: on the broker's disk, of a payment, by topic. card_bytes: of Redis, with all that goes with a card.
    retention_days: by topic.
    """

    cpu_us: Mapping[str, float]
    log_bytes: Mapping[str, float]
    card_bytes: float
    retention_days: Mapping[str, float]


class Needs(NamedTuple):
    """What a peak rate needs; cores by service or server."""

    cores: dict[str, int]
    partitions: int
    redis_gigabytes: float
    redis_shards: int
    disk_gigabytes_a_day: float
    disk_terabytes: float
    network_megabits: float


def needs(measured: Measured, *, per_second: float, cards: float) -> Needs:
    """Return what `per_second` payments at the peak of the day need, of so many cards."""
    cores = {name: math.ceil(per_second * cpu_us / 1e6 / UTILISATION_MAX) for name, cpu_us in measured.cpu_us.items()}
    memory = cards * measured.card_bytes / 1e9 / MEMORY_SHARE_MAX
    # Two processes' worth and more for each: a group can grow without new partitions, which move cards between them.
    partitions = 2 ** math.ceil(math.log2(2 * max(cores["features"], cores["scoring"])))
    per_day = per_second / PEAK_TO_MEAN * DAY_SECONDS
    kept = {topic: per_day * size * measured.retention_days[topic] for topic, size in measured.log_bytes.items()}
    return Needs(
        cores=cores,
        partitions=partitions,
        redis_gigabytes=memory,
        redis_shards=max(cores["redis"], math.ceil(memory / SHARD_GIGABYTES)),
        disk_gigabytes_a_day=per_day * sum(measured.log_bytes.values()) * COPIES / 1e9,
        disk_terabytes=sum(kept.values()) * COPIES / 1e12,
        network_megabits=per_second * network_bytes(measured.log_bytes) * 8 / 1e6,
    )


def network_bytes(log_bytes: Mapping[str, float]) -> float:
    """Return what a payment moves between machines: written once, copied to the other brokers, and read.

    Read are transactions by features; features by scoring, training and drift; scores by training, drift and your own.
    """
    readers = {"transactions": 1, "features": 3, "scores": 3}
    return sum(size * (COPIES + readers[topic]) for topic, size in log_bytes.items())
