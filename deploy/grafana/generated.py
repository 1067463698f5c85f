"""The dashboards as the files that Grafana reads."""

import json
from collections.abc import Iterator
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from deploy.grafana.decisions import fraud_decisions
from deploy.grafana.latency import latency_and_throughput
from deploy.grafana.models import models_and_drift
from deploy.grafana.neighbours import kafka_and_redis
from deploy.grafana.overview import overview
from deploy.grafana.recommendations import recommendations

FOLDER = Path(__file__).parent / "dashboards"


def dashboards() -> list[Dashboard]:
    """Return every dashboard, the one to open with first."""
    return [
        overview(),
        latency_and_throughput(),
        fraud_decisions(),
        models_and_drift(),
        recommendations(),
        kafka_and_redis(),
    ]


def files() -> Iterator[tuple[Path, str]]:
    """Yield each dashboard's file, and the JSON that it should hold."""
    for dashboard in dashboards():
        name = str(dashboard.uid).removeprefix("headrace-")
        yield FOLDER / f"{name}.json", json.dumps(dashboard, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
