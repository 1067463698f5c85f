"""The deployment files agree with the code they deploy."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.runtime import metrics

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
SERVICES = sorted(path.parent.name for path in ROOT.glob("services/*/app.py"))
CONTAINER_PORT = 8000

HISTOGRAM_SUFFIXES = ("_bucket", "_sum", "_count")
METRIC = re.compile(r"(headrace_\w+)(?:\{([^}]*)\})?")
LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")


def _yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


COMPOSE: dict[str, Any] = _yaml(ROOT / "docker-compose.yml")
PROMETHEUS: dict[str, Any] = _yaml(DEPLOY / "prometheus/prometheus.yml")
DASHBOARDS = sorted((DEPLOY / "grafana/dashboards").glob("*.json"))


def _dashboard_expressions(path: Path) -> list[str]:
    return [target["expr"] for panel in json.loads(path.read_text())["panels"] for target in panel["targets"]]


def _alert_rules() -> list[dict[str, Any]]:
    return [rule for group in _yaml(DEPLOY / "prometheus/alerts.yml")["groups"] for rule in group["rules"]]


def _expressions() -> list[str]:
    shown = [expression for path in DASHBOARDS for expression in _dashboard_expressions(path)]
    return [*shown, *(rule["expr"] for rule in _alert_rules())]


def _samples() -> dict[str, set[str]]:
    """Return the labels of every sample name that /metrics can show."""
    samples = {}
    for metric in metrics.described():
        names = [metric.name + suffix for suffix in HISTOGRAM_SUFFIXES] if metric.kind == "histogram" else [metric.name]
        for name in names:
            samples[name] = {*metric.labels, "instance", "job", *(["le"] if name.endswith("_bucket") else [])}
    return samples


def test_every_service_is_deployed_and_watched() -> None:
    assert SERVICES, "no service was found"
    (targets,) = [
        job["static_configs"][0]["targets"] for job in PROMETHEUS["scrape_configs"] if job["job_name"] == "headrace"
    ]
    assert sorted(targets) == [f"{service}:{CONTAINER_PORT}" for service in SERVICES]
    for service in SERVICES:
        deployed = COMPOSE["services"][service]
        assert deployed["build"] == {
            "context": ".",
            "dockerfile": "deploy/docker/Dockerfile",
            "args": {"SERVICE": service},
        }
        assert deployed["depends_on"] == {name: {"condition": "service_healthy"} for name in ("kafka", "redis")}


def test_every_port_is_published_to_this_machine_only() -> None:
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert published
    assert [port for port in published if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)] == []
    host_ports = [port.split(":")[1] for port in published]
    assert len(set(host_ports)) == len(host_ports)


def test_every_image_is_pinned_to_a_release() -> None:
    images = [service["image"] for service in COMPOSE["services"].values()]
    images += re.findall(r"^FROM (\S+)", (DEPLOY / "docker/Dockerfile").read_text(), re.MULTILINE)
    assert [image for image in images if not re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*", image)] == []


def test_compose_runs_the_broker_that_make_demo_runs() -> None:
    version = re.search(
        r"<artifactId>kafka_2.13</artifactId>\s*<version>([^<]+)<", (DEPLOY / "kafka/pom.xml").read_text()
    )
    assert version is not None
    assert COMPOSE["services"]["kafka"]["image"] == f"apache/kafka:{version[1]}"


def test_every_volume_is_declared_and_every_mounted_file_exists() -> None:
    mounted = [mount.split(":")[0] for service in COMPOSE["services"].values() for mount in service.get("volumes", [])]
    named = {source for source in mounted if not source.startswith(".")}
    assert named == set(COMPOSE["volumes"])
    assert all((ROOT / source).exists() for source in mounted if source.startswith("."))
    for service in ("scoring", "training", "drift"):
        assert "headrace-home:/var/lib/headrace" in COMPOSE["services"][service]["volumes"], "they share the registry"


def test_everything_can_tell_whether_it_is_healthy() -> None:
    assert "HEALTHCHECK" in (DEPLOY / "docker/Dockerfile").read_text()
    others = COMPOSE["services"].keys() - SERVICES
    assert [name for name in others if "healthcheck" not in COMPOSE["services"][name]] == []


@pytest.mark.parametrize("expression", _expressions())
def test_dashboards_and_alerts_name_metrics_and_labels_that_exist(expression: str) -> None:
    samples = _samples()
    for name, selector in METRIC.findall(expression):
        assert name in samples, f"no metric {name} in shared/runtime/metrics"
        assert set(LABEL.findall(selector)) <= samples[name]


@pytest.mark.parametrize("rule", _alert_rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_tells_what_happened_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]


def test_dashboards_are_provisioned_from_where_compose_mounts_them() -> None:
    (provider,) = _yaml(DEPLOY / "grafana/provisioning/dashboards/headrace.yaml")["providers"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in COMPOSE["services"]["grafana"]["volumes"]
    (source,) = _yaml(DEPLOY / "grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    for path in DASHBOARDS:
        panels = json.loads(path.read_text())["panels"]
        assert {target["datasource"]["uid"] for panel in panels for target in panel["targets"]} == {source["uid"]}


def test_the_image_copies_nothing_that_is_ignored() -> None:
    copied = re.findall(r"^COPY (\S+)", (DEPLOY / "docker/Dockerfile").read_text(), re.MULTILINE)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {f"!{source}" for source in copied} == {line for line in ignored if line.startswith("!")}
    assert all((ROOT / source).exists() for source in copied)


def _has_compose() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    return subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _has_compose(), reason="needs the docker client with compose")
def test_compose_itself_accepts_the_file() -> None:
    subprocess.run(["docker", "compose", "-f", ROOT / "docker-compose.yml", "config", "-q"], check=True)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool, which comes with Prometheus")
def test_prometheus_itself_accepts_the_rules_and_expressions(tmp_path: Path) -> None:
    subprocess.run(["promtool", "check", "config", DEPLOY / "prometheus/prometheus.yml"], check=True)
    subprocess.run(["promtool", "test", "rules", ROOT / "tests/architecture/alerts_test.yml"], check=True)
    recorded = [{"record": f"expression_{number}", "expr": text} for number, text in enumerate(_expressions())]
    rules = tmp_path / "expressions.yml"
    rules.write_text(yaml.safe_dump({"groups": [{"name": "expressions", "rules": recorded}]}))
    subprocess.run(["promtool", "check", "rules", "--lint=none", rules], check=True)
