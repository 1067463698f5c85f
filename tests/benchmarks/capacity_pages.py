"""The tables and the picture of docs/capacity.md, from what was measured."""

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import matplotlib as mpl
import numpy as np

from tests.benchmarks.capacity_figures import TARGET_CARDS, TARGET_PER_SECOND, Results
from tests.benchmarks.capacity_load import Worked
from tests.benchmarks.capacity_memory import MIX, bytes_per_card
from tests.benchmarks.capacity_needs import (
    COPIES,
    DAY_SECONDS,
    MEMORY_SHARE_MAX,
    PEAK_TO_MEAN,
    SHARD_GIGABYTES,
    UTILISATION_MAX,
    network_bytes,
)

mpl.use("Agg")
import matplotlib.pyplot as plt

PAGE = Path("docs/capacity.md")
PICTURE = Path("docs/images/capacity.png")


def write_page(results: Results) -> None:
    """Put every table between its markers, `<!-- measured: name -->` and `<!-- /measured -->`."""
    text = PAGE.read_text()
    tables = {
        "machine": _machine(),
        "core": _core(results),
        "growth": _growth(results),
        "latency": _latency(results),
        "memory": _memory(results),
        "log": _log(results),
        "needs": _needs(results),
    }
    for name, table in tables.items():
        begin, end = f"<!-- measured: {name} -->\n", "<!-- /measured -->"
        head, found, rest = text.partition(begin)
        if not found:
            raise SystemExit(f"{PAGE} has no place for {name}: {begin.strip()}")
        text = f"{head}{begin}{table}\n{end}{rest.partition(end)[2]}"
    PAGE.write_text(text)


def draw(results: Results) -> None:
    """Draw how payments a second grow with replicas and partitions, and Redis with cards."""
    figure, (replicas, partitions, memory) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    counts = list(results.by_replicas)
    replicas.bar([str(count) for count in counts], [results.by_replicas[count].per_second for count in counts])
    replicas.set(title=f"Replicas of features and scoring, {os.cpu_count()} cores", ylabel="payments/s")
    places = list(results.by_partitions)
    partitions.bar([str(place) for place in places], [results.by_partitions[place].per_second for place in places])
    partitions.set(title="Partitions, one features process on a core", ylabel="payments/s")
    cards = [0, *results.memory]
    used = [0.0, *(count * bytes_per_card(kinds) / 1e9 for count, kinds in results.memory.items())]
    memory.plot(cards, used, marker="o")
    memory.set(title="Redis by cards, all entities", xlabel="cards", ylabel="GB")
    for axes in (replicas, partitions, memory):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylim(bottom=0)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=110)


def _machine() -> str:
    return (
        f"Measured on {datetime.now(UTC):%d %B %Y}: {os.cpu_count()} cores, {platform.machine()}, "
        f"Python {platform.python_version()}, Kafka and Redis on the same machine.\n\n"
        f"![Payments a second by replicas and by partitions; memory of Redis by cards](images/{PICTURE.name})"
    )


def _core(results: Results) -> str:
    log, store = results.log_floor, results.store_floor
    features, scoring = results.features, results.scoring
    ours = features.cpu_us["features"]
    rows = [
        ("features", features.per_second, ours, log.client_us + store.client_us, features.cpu_us["redis"]),
        ("scoring", scoring.per_second, scoring.cpu_us["scoring"], log.client_us, scoring.cpu_us["redis"]),
    ]
    lines = [
        [name, f"{rate:,.0f}", f"{cpu:,.0f}", f"{floor:,.0f}", f"{redis:,.0f}"]
        for name, rate, cpu, floor, redis in rows
    ]
    lines += [
        [f"ingest, {_HOW[how]}", f"{answered.per_second:,.0f}", f"{answered.cpu_us:,.0f}", "", ""]
        for how, answered in results.ingest.items()
    ]
    head = ("service, alone on a core", "payments/s", "CPU us a payment", "floor, us", "Redis, CPU us a payment")
    return _table(head, lines)


_HOW = {"single": "a payment a request", "batch": "100 payments a request"}


def _growth(results: Results) -> str:
    rows = [["everything on 1 core, Kafka and Redis included", *_worked_told(results.one_core)]]
    rows += [
        [f"{count} of features, {count} of scoring, {os.cpu_count()} cores", *_worked_told(worked)]
        for count, worked in results.by_replicas.items()
    ]
    rows += [
        [f"features alone on a core, {count} partition{'s' * (count > 1)}", *_worked_told(worked)]
        for count, worked in results.by_partitions.items()
    ]
    rows += [
        [f"features alone on a core, {count} Redis shard{'s' * (count > 1)}", *_worked_told(worked)]
        for count, worked in results.by_shards.items()
    ]
    head = ("what", "payments/s", "features", "scoring", "Kafka", "Redis")
    return _table(head, rows)


def _worked_told(worked: Worked) -> list[str]:
    parts = ("features", "scoring", "kafka", "redis")
    return [
        f"{worked.per_second:,.0f}",
        *(f"{worked.cpu_us[name]:,.0f}" if name in worked.cpu_us else "" for name in parts),
    ]


def _latency(results: Results) -> str:
    rows = [
        [f"{load:.0%}", f"{load * results.by_replicas[1].per_second:,.0f}", *_percentiles(latencies)]
        for load, latencies in results.latencies_ms.items()
    ]
    return _table(("load", "payments/s", "p50 ms", "p95 ms", "p99 ms"), rows)


def _percentiles(latencies_ms: Sequence[float]) -> list[str]:
    return [f"{np.percentile(latencies_ms, share):,.0f}" for share in (50, 95, 99)]


def _memory(results: Results) -> str:
    sizes = list(results.memory)
    rows = [
        [
            kind.name,
            f"{kind.per_card:g}",
            f"{kind.records_mean:,g} x {kind.record_bytes} B",
            *(f"{results.memory[cards][kind.name].bytes_each:,.0f}" for cards in sizes),
            f"{kind.per_card * results.memory[sizes[-1]][kind.name].bytes_each / 1e3:.2f} GB",
        ]
        for kind in MIX
    ]
    totals = [f"{bytes_per_card(results.memory[cards]):,.0f} a card" for cards in sizes]
    rows.append(["all", "", "", *totals, f"{bytes_per_card(results.memory[sizes[-1]]) / 1e3:.2f} GB"])
    measured = [f"bytes each, at {cards:,} cards" for cards in sizes]
    return _table(("kind", "for each card", "mean content", *measured, "for a million cards"), rows)


def _log(results: Results) -> str:
    measured, needed = results.measured, results.needs
    rows = [
        [
            f"`{topic}`",
            f"{size:,.0f}",
            f"{measured.retention_days[topic]:.0f}",
            f"{size * DAY_SECONDS * 1_000 / 1e9:,.0f}",
        ]
        for topic, size in results.log_bytes.items()
    ]
    rows.append(["all", f"{sum(results.log_bytes.values()):,.0f}", "", f"{_daily_gigabytes(results):,.0f}"])
    head = ("topic", "bytes of a payment", "kept, days", "GB a day at 1,000 payments/s, one copy")
    kept = f"{TARGET_PER_SECOND:,.0f} payments/s at the peak fill {needed.disk_terabytes:,.0f} TB, {COPIES} copies included."
    return f"{_table(head, rows)}\n\n{kept}"


def _daily_gigabytes(results: Results) -> float:
    return sum(results.log_bytes.values()) * DAY_SECONDS * 1_000 / 1e9


def _needs(results: Results) -> str:
    measured, needed = results.measured, results.needs
    rate = TARGET_PER_SECOND
    rows = [
        [f"cores of {name}", f"{rate:,.0f} x {cpu_us:,.0f} us / {UTILISATION_MAX}", f"{needed.cores[name]}"]
        for name, cpu_us in measured.cpu_us.items()
    ]
    per_day, log_bytes = rate / PEAK_TO_MEAN * DAY_SECONDS, sum(measured.log_bytes.values())
    rows += [
        [
            "partitions",
            "2 x cores of features or scoring, whichever is more, up to a power of 2",
            f"{needed.partitions}",
        ],
        [
            "Redis memory",
            f"{TARGET_CARDS:,.0f} cards x {measured.card_bytes:,.0f} B / {MEMORY_SHARE_MAX}",
            f"{needed.redis_gigabytes:,.0f} GB",
        ],
        ["Redis shards", f"at most {SHARD_GIGABYTES:.0f} GB and a core each", f"{needed.redis_shards}"],
        [
            "log a day",
            f"{per_day:,.0f} payments x {log_bytes:,.0f} B x {COPIES} copies",
            f"{needed.disk_gigabytes_a_day:,.0f} GB",
        ],
        ["log kept", "each topic for as long as it is kept", f"{needed.disk_terabytes:,.0f} TB"],
        [
            "network between machines, at the peak",
            f"{rate:,.0f} x {network_bytes(measured.log_bytes):,.0f} B: written, copied twice, read by every group",
            f"{needed.network_megabits:,.0f} Mbit/s",
        ],
    ]
    return _table(("what", "how", "needed"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
