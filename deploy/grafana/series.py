"""What a panel shows, asked from Prometheus: the same queries as Grafana's, over a span of time."""

import re
from typing import Any, NamedTuple

import httpx
import numpy as np
import numpy.typing as npt
from grafana_foundation_sdk.models.dashboard import Panel
from grafana_foundation_sdk.models.prometheus import Dataquery

from deploy.grafana.queries import resolved

Floats = npt.NDArray[np.float64]
POINTS = 240
_LABEL = re.compile(r"{{(\w+)}}")


class Span(NamedTuple):
    """From when until when, Unix time."""

    start: float
    end: float

    @property
    def step_seconds(self) -> float:
        """Between two points."""
        return max(1.0, (self.end - self.start) / POINTS)

    def minutes(self, times: Floats) -> Floats:
        """Return Unix times as minutes from the end on; those within the span are at most 0."""
        return (times - self.end) / 60


class Series(NamedTuple):
    """One line: its legend, Unix times and values, both of shape (points,)."""

    legend: str
    times: Floats
    values: Floats


def queries_of(panel: Panel) -> list[Dataquery]:
    """Return a panel's queries."""
    return [query for query in panel.targets or [] if isinstance(query, Dataquery)]


def newest_span(prometheus: httpx.Client, *, minutes: float) -> Span:
    """Return the last minutes, by Prometheus' own clock; raises httpx.HTTPError."""
    end = float(_asked(prometheus, "/api/v1/query", {"query": "time()"})[1])
    return Span(end - minutes * 60, end)


def panel_series(prometheus: httpx.Client, panel: Panel, span: Span, *, rate_interval: str) -> list[Series]:
    """Return every line of a panel.

    prometheus: its base URL is the server's.

    Raises:
        httpx.HTTPError: it does not answer, or refuses a query.
    """
    return [
        _series(found, query)
        for query in queries_of(panel)
        for found in _asked(
            prometheus,
            "/api/v1/query_range",
            {
                "query": resolved(query.expr, rate_interval=rate_interval),
                "start": str(span.start),
                "end": str(span.end),
                "step": str(span.step_seconds),
            },
        )
    ]


def _series(found: dict[str, Any], query: Dataquery) -> Series:
    legend = _LABEL.sub(lambda label: found["metric"].get(label[1], ""), query.legend_format or "").strip()
    points = np.array(found["values"], dtype=np.float64)
    return Series(legend or "none", points[:, 0], points[:, 1])


def _asked(prometheus: httpx.Client, path: str, parameters: dict[str, str]) -> Any:
    return prometheus.get(path, params=parameters).raise_for_status().json()["data"]["result"]
