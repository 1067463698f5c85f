"""Pictures of dashboards for the README, from a Prometheus that watches a platform under load.

python -m deploy.grafana.pictures http://127.0.0.1:9090 --minutes 10
"""

import argparse
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from deploy.grafana.decisions import fraud_decisions
from deploy.grafana.drawing import Drawn, draw
from deploy.grafana.models import models_and_drift
from deploy.grafana.overview import overview
from deploy.grafana.series import newest_span, panel_series

FOLDER = Path(__file__).parents[2] / "docs" / "images"
SHOWN: dict[str, tuple[Callable[[], Dashboard], tuple[str, ...]]] = {
    "overview": (
        overview,
        (
            "Payments per second",
            "Payment to decision",
            "Decisions by outcome",
            "Drift, share of an alarm",
            "Click-through",
            "Records waiting",
        ),
    ),
    "decisions": (
        fraud_decisions,
        (
            "Scores of the champion",
            "Mean score by role",
            "Reviewed or declined",
            "Freshness of features",
            "State behind the log",
            "Late, duplicate, outdated",
        ),
    ),
    "models": (
        models_and_drift,
        ("Evidence of drift", "Announced until in service", "Archived rows"),
    ),
}
"""By picture: its dashboard, and the panels on it."""
_HTTP_SECONDS_MAX = 30.0
_RATE_INTERVAL = "30s"


def main() -> None:
    """Draw from the Prometheus that the command line names."""
    parser = argparse.ArgumentParser(description="Draw dashboards from a Prometheus.")
    parser.add_argument("url", help="where it answers, such as http://127.0.0.1:9090")
    parser.add_argument("--minutes", type=float, default=10.0, help="how much of its newest data to show")
    told = parser.parse_args()
    with closing(httpx.Client(base_url=told.url, timeout=_HTTP_SECONDS_MAX)) as prometheus:
        draw_all(prometheus, FOLDER, minutes=told.minutes)


def draw_all(prometheus: httpx.Client, folder: Path, *, minutes: float) -> None:
    """Write every picture of SHOWN to `folder`, from the newest minutes.

    prometheus: its base URL is the server's.

    Raises:
        httpx.HTTPError: it does not answer, or refuses a query.
    """
    span = newest_span(prometheus, minutes=minutes)
    for name, (made, titles) in SHOWN.items():
        board = made()
        drawn = [
            Drawn(panel, panel_series(prometheus, panel, span, rate_interval=_RATE_INTERVAL))
            for panel in (_panel(board, title) for title in titles)
        ]
        draw(str(board.title), drawn, span, folder / f"{name}.png")


def _panel(board: Dashboard, title: str) -> Panel:
    return next(panel for panel in board.panels or [] if isinstance(panel, Panel) and panel.title == title)


if __name__ == "__main__":
    main()
