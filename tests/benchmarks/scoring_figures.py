"""From the runs of `make bench-scoring` to its figures: medians of the rounds, beside the floor and the peers."""

from collections.abc import Mapping
from statistics import median
from typing import NamedTuple

import numpy as np

from tests.benchmarks.report import Figure

CALLERS = (1, 16)
"""How many ask at once: one connection each, which waits for an answer before it asks again."""
_LABELS = {
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "per_second": "answers a second",
    "cpu_us": "CPU us an answer",
    "resident_mb": "MB resident",
}
_GOALS = {("p50_ms", 1): "0.8", ("p99_ms", 1): "3", ("per_second", 16): "3,000"}
_PEER_GOALS = {("p50_ms", 1): "at most half", ("per_second", 16): "5 x"}


class Run(NamedTuple):
    """One run of a server.

    cpu_us: user and system time of all its processes for each answer. resident_mb: behind the run.
    failed: requests that were not answered with status 200, or wrongly.
    """

    p50_ms: float
    p99_ms: float
    per_second: float
    cpu_us: float
    resident_mb: float
    failed: int


class Measured(NamedTuple):
    """Everything measured, round by round.

    runs: by key of the server ("ours", "bare", and each peer's) and number of callers. parts_ms: of "features", "graph"
    and "feast", what each call took. titles: of each peer, by its key.
    """

    runs: dict[tuple[str, int], list[Run]]
    parts_ms: dict[str, list[list[float]]]
    titles: dict[str, str]

    def run(self, key: str, callers: int) -> Run:
        """Return the median of each number over the rounds; all that failed."""
        rounds = self.runs[key, callers]
        middle = {field: median(getattr(run, field) for run in rounds) for field in _LABELS}
        return Run(**middle, failed=sum(run.failed for run in rounds))

    def part_ms(self, name: str, share: float) -> float:
        """Return the median over the rounds of a percentile."""
        return median(float(np.percentile(took, share)) for took in self.parts_ms[name])


def figures_of(measured: Measured) -> list[Figure]:
    """Return ours beside the floor, then beside each peer."""
    figures = [
        _beside(measured, field, callers, "bare", "a bare ASGI answer", _GOALS)
        for callers in CALLERS
        for field in _LABELS
        if (field, callers) != ("resident_mb", 1)
    ]
    for key, title in measured.titles.items():
        figures += [
            _beside(measured, field, callers, key, title, _PEER_GOALS)
            for field, callers in (
                ("p50_ms", 1),
                ("p99_ms", 1),
                ("per_second", 16),
                ("cpu_us", 16),
                ("resident_mb", 16),
            )
        ]
    failed = {key: sum(measured.run(key, callers).failed for callers in CALLERS) for key in ("ours", *measured.titles)}
    what = "all peers together"
    wrong = Figure(
        "failed", "answers failed, degraded, or not as on the log", failed.pop("ours"), sum(failed.values()), what, "0"
    )
    return [*_floor(measured), *figures, wrong, *_feature_reads(measured)]


def _beside(
    measured: Measured, field: str, callers: int, key: str, title: str, goals: Mapping[tuple[str, int], str]
) -> Figure:
    ours, other = (getattr(measured.run(of, callers), field) for of in ("ours", key))
    told = "1 caller" if callers == 1 else f"{callers} callers"
    name = f"{field}_at_{callers}" + ("" if key == "bare" else f"_vs_{key}")
    return Figure(name, f"{told}, {_LABELS[field]}", ours, other, title, goals.get((field, callers), ""))


def _floor(measured: Measured) -> list[Figure]:
    """Return our p50 beside the sum of what it cannot be without, and those parts."""
    parts = {
        "asgi": ("a bare ASGI answer", measured.run("bare", 1).p50_ms),
        "features": ("features appended, read and computed", measured.part_ms("features", 50)),
        "graph": ("one row through the graph", measured.part_ms("graph", 50)),
    }
    ours, floor = measured.run("ours", 1).p50_ms, sum(p50_ms for _, p50_ms in parts.values())
    return [
        Figure("p50_ms_vs_floor", "1 caller, p50 ms", ours, floor, "the floor: the three parts below", "2 x"),
        *(Figure(f"floor_{key}_p50_ms", f"floor: {told}, p50 ms", p50_ms) for key, (told, p50_ms) in parts.items()),
    ]


def _feature_reads(measured: Measured) -> list[Figure]:
    """Return our features' round trip beside Feast's, where that is here."""
    if "feast" not in measured.parts_ms:
        return []
    return [
        Figure(
            f"features_p{share}_ms_vs_feast",
            f"features of a payment, p{share} ms",
            measured.part_ms("features", share),
            measured.part_ms("feast", share),
            "Feast, Redis: read only, as many features",
        )
        for share in (50, 99)
    ]
