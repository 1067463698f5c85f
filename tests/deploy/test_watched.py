"""A real Prometheus watches the whole platform under load: every panel shows something, and no rule fails."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from grafana_foundation_sdk.models.dashboard import Panel

from deploy.grafana.generated import dashboards
from deploy.grafana.pictures import SHOWN, draw_all
from deploy.grafana.queries import resolved
from deploy.grafana.series import queries_of
from services.local.platform import Platform
from services.local.ports import choose_ports
from services.local.prometheus import PrometheusServer, find_prometheus
from services.local.supervisor import Supervisor
from tests.conftest import READY_SECONDS_MAX
from tests.deploy.binaries import needs
from tests.deploy.watched_load import SETTINGS, Load

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600), needs("prometheus")]

PATIENCE_SECONDS = 240
SCRAPE_SECONDS = 1
RATE_INTERVAL = "20s"
BUSY = (": Payments per second", "Decisions by outcome", "Answers over HTTP", "Records read", "Questions")
"""Panels whose numbers are above 0 while there is load."""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("platform"), SETTINGS) as running:
        running.start(lambda _: None)
        yield running


@pytest.fixture(scope="module")
def prometheus(
    platform: Platform, supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A client of the server's API; the server scrapes the platform and evaluates the rules."""
    folder = tmp_path_factory.mktemp("prometheus")
    binary = find_prometheus()
    assert binary is not None
    server = PrometheusServer(
        folder,
        binary=binary,
        port=choose_ports([None])[0],
        services=platform.addresses.services,
        log_path=folder / "prometheus.log",
        interval_seconds=SCRAPE_SECONDS,
    )
    supervisor.start(server)
    supervisor.wait_ready([server], seconds_max=READY_SECONDS_MAX, say=print)
    with closing(httpx.Client(base_url=server.url, timeout=30)) as client:
        yield client
    supervisor.stop([server])


def test_every_panel_has_data_and_no_rule_fails(platform: Platform, prometheus: httpx.Client, tmp_path: Path) -> None:
    load = Load(platform)
    load.feed_history()
    deadline = time.monotonic() + PATIENCE_SECONDS
    wait_until(lambda: archived(prometheus) > 0, deadline, "history is archived")
    load.train()
    with load.streaming():
        missing = dict(queries())
        while missing and time.monotonic() < deadline:
            load.visit()
            load.misbehave()
            missing = {panel: query for panel, query in missing.items() if not shows(prometheus, panel, query)}
        assert sorted(missing) == [], "these panels show nothing"
        assert choices(prometheus) == {
            "instance": set(platform.addresses.services),
            "model": {"fraud", "recommendation"},
        }
    draw_all(prometheus, tmp_path, minutes=1)
    assert {path.stem: path.read_bytes()[:4] for path in tmp_path.iterdir()} == dict.fromkeys(SHOWN, b"\x89PNG")
    rules = answer(prometheus, "/rules")["groups"]
    evaluated = [rule for group in rules for rule in group["rules"]]
    assert evaluated
    assert [(rule["name"], rule["lastError"]) for rule in evaluated if rule.get("lastError")] == []
    assert {rule["health"] for rule in evaluated} == {"ok"}


def wait_until(reached: Callable[[], bool], deadline: float, told: str) -> None:
    while not reached():
        assert time.monotonic() < deadline, f"never: {told}"
        time.sleep(SCRAPE_SECONDS)


def answer(prometheus: httpx.Client, path: str, **parameters: str) -> Any:
    told = prometheus.get(f"/api/v1{path}", params=parameters).json()
    assert told["status"] == "success", (parameters, told)
    return told["data"]


def vector(prometheus: httpx.Client, expression: str) -> list[dict[str, Any]]:
    query = resolved(expression, rate_interval=RATE_INTERVAL)
    return list(answer(prometheus, "/query", query=query)["result"])


def archived(prometheus: httpx.Client) -> float:
    (found,) = vector(prometheus, 'sum(headrace_archived_rows_total{topic="features"}) or vector(0)')
    return float(found["value"][1])


def queries() -> Iterator[tuple[str, str]]:
    """Yield every query of every panel, by the dashboard, the legend and the title."""
    for board in dashboards():
        for panel in board.panels or []:
            for query in queries_of(panel) if isinstance(panel, Panel) else ():
                yield f"{board.title}, {query.legend_format}: {panel.title}", query.expr


def shows(prometheus: httpx.Client, panel: str, expression: str) -> bool:
    """Tell whether a query has a number now; where there is load, one above 0."""
    numbers = [float(sample["value"][1]) for sample in vector(prometheus, expression)]
    return any(math.isfinite(number) and (number > 0 or not panel.endswith(BUSY)) for number in numbers)


def choices(prometheus: httpx.Client) -> dict[str, set[str]]:
    """Return what a person may choose among at the top of the dashboards."""
    found: dict[str, set[str]] = {}
    for board in dashboards():
        for variable in board.templating.list_val or []:
            metric, label = str(variable.query).removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
            found[variable.name] = {sample["metric"][label] for sample in vector(prometheus, metric)}
    return found
