"""PromQL as the dashboards write it: summed over replicas, and 0 rather than nothing where nothing has happened."""

from collections.abc import Sequence
from typing import NamedTuple

DAY = "24h"
QUANTILES = (0.5, 0.95, 0.99)
EVIDENCE_MAX = 2
"""Of evidence of drift, in alarms, what is shown at most."""
RATE_INTERVAL = "$__rate_interval"
"""Grafana's own: wide enough for a rate at the panel's resolution."""


class Query(NamedTuple):
    """An expression, and how its series are called; `{{label}}` stands for a label's value."""

    expression: str
    legend: str


def per_second(counter: str, *, by: Sequence[str] = (), where: str = "") -> str:
    """Return the rate of a counter."""
    return or_zero(f"{_sum(by)}(rate({counter}{_selector(where)}[{RATE_INTERVAL}]))", by)


def in_window(counter: str, window: str, *, by: Sequence[str] = (), where: str = "") -> str:
    """Return by how much a counter has grown within the last `window`, such as 1h."""
    return or_zero(f"{_sum(by)}(increase({counter}{_selector(where)}[{window}]))", by)


def ratio(part: str, whole: str) -> str:
    """Return one expression over another; 0 where the second is 0."""
    return f"({part}) / (({whole}) > 0) or on () vector(0)"


def highest(gauge: str, *, by: Sequence[str] = (), where: str = "") -> str:
    """Return a gauge's highest value, for what replicas tell alike."""
    return f"max{_grouped(by)}({gauge}{_selector(where)})"


def total(gauge: str, *, by: Sequence[str] = (), where: str = "") -> str:
    """Return a gauge's sum over replicas, each of which has a part."""
    return f"{_sum(by)}({gauge}{_selector(where)})"


def evidence_of_drift(*, by: Sequence[str], where: str = "") -> str:
    """Return the evidence of families of watches over what raises an alarm; cut off, since it grows exponentially."""
    evidence, threshold = (
        highest(f"headrace_drift_{days}_days", by=["model", "family"], where=where)
        for days in ("evidence", "threshold")
    )
    return f"max{_grouped(by)}(clamp_max({evidence} / {threshold}, {EVIDENCE_MAX}))"


def mean(histogram: str, *, by: Sequence[str] = (), where: str = "") -> str:
    """Return the mean of what a histogram has observed."""
    total, count = (
        f"{_sum(by)}(rate({histogram}_{part}{_selector(where)}[{RATE_INTERVAL}]))" for part in ("sum", "count")
    )
    return f"{total} / {count}"


def quantile(
    level: float, histogram: str, *, by: Sequence[str] = (), where: str = "", window: str = RATE_INTERVAL
) -> str:
    """Return a quantile of what a histogram observed within `window`, over all replicas; NaN where it was nothing."""
    buckets = f"{_sum(['le', *by])}(rate({histogram}_bucket{_selector(where)}[{window}]))"
    return f"histogram_quantile({level}, {buckets})"


def quantiles(histogram: str, *, where: str = "", window: str = RATE_INTERVAL) -> list[Query]:
    """Return p50, p95 and p99 of a histogram."""
    return [Query(quantile(level, histogram, where=where, window=window), f"p{level * 100:.0f}") for level in QUANTILES]


def buckets(histogram: str, *, where: str = "") -> str:
    """Return how many observations each bucket took, for a heatmap."""
    return f"sum by (le) (increase({histogram}_bucket{_selector(where)}[{RATE_INTERVAL}]))"


def or_zero(expression: str, by: Sequence[str] = ()) -> str:
    """Return an expression that is 0 where it would have no value at all."""
    return f"{expression} or {'on () ' if by else ''}vector(0)"


def resolved(expression: str, *, rate_interval: str) -> str:
    """Return an expression with Grafana's variables filled in, as Prometheus takes it: every instance, every model."""
    filled = {RATE_INTERVAL: rate_interval, "$instance": ".+", "$model": ".+"}
    for variable, value in filled.items():
        expression = expression.replace(variable, value)
    return expression


def _sum(by: Sequence[str]) -> str:
    return f"sum{_grouped(by)}"


def _grouped(by: Sequence[str]) -> str:
    return f" by ({', '.join(by)}) " if by else ""


def _selector(where: str) -> str:
    return f"{{{where}}}" if where else ""
