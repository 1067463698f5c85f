"""What is deployed, pointed to where it answers on this machine."""

import glob
from typing import Any

import yaml

from services.local.addresses import SERVICES
from services.local.prometheus import CONFIGURATION, localised

DEPLOYED: dict[str, Any] = {
    "global": {"scrape_interval": "5s"},
    "rule_files": ["alerts.yml"],
    "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["alertmanager:9093"]}]}]},
    "scrape_configs": [
        {
            "job_name": "headrace",
            "static_configs": [{"targets": ["features:8000", "drift:8000"]}],
            "relabel_configs": [{"source_labels": ["__address__"], "target_label": "instance"}],
        },
        {"job_name": "elsewhere", "static_configs": [{"targets": ["kafka:9404"]}]},
    ],
}


def test_a_target_keeps_its_name_and_is_asked_at_its_address() -> None:
    local = localised(DEPLOYED, {"features": "127.0.0.1:1", "features-2": "127.0.0.1:2", "ingest": "127.0.0.1:3"}, None)
    (job,) = local["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["features:8000", "features-2:8000"]}]
    first, *moves = job["relabel_configs"]
    assert first["target_label"] == "instance", "before the address changes"
    assert [(move["regex"], move["replacement"]) for move in moves] == [
        ("features:8000", "127.0.0.1:1"),
        ("features-2:8000", "127.0.0.1:2"),
    ]
    assert local["global"]["scrape_interval"] == "5s"
    assert "alerting" not in local, "there is no Alertmanager here"


def test_what_is_deployed_is_watched_here_too() -> None:
    deployed = yaml.safe_load(CONFIGURATION.read_text())
    local = localised(deployed, {name: f"127.0.0.1:{port}" for port, name in enumerate(SERVICES)}, 1)
    (job,) = (job for job in local["scrape_configs"] if job["job_name"] == "headrace")
    addresses = {rule["replacement"] for rule in job["relabel_configs"] if rule["target_label"] == "__address__"}
    assert len(addresses) == len(SERVICES)
    assert all(glob.glob(pattern) for pattern in local["rule_files"])  # noqa: PTH207 - absolute patterns
    assert local["global"]["scrape_interval"] == "1s"
