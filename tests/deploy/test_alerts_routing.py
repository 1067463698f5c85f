"""Alertmanager tells the right receiver, once, and holds no secret."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.alerting import ALERTMANAGER, PROMETHEUS, RUNBOOK, WATCHDOG, alerts
from tests.deploy.binaries import needs

CONFIGURATION: dict[str, Any] = yaml.safe_load(ALERTMANAGER.read_text())
RECEIVERS = {"page": "pages", "ticket": "tickets", "none": "watchdog"}
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"?([^"]*)"?')
SECRET = re.compile(r"(key|url|token|password|credentials|secret)$")
"""Settings of Alertmanager that hold a secret end so; from a file they end in _file."""


def _check(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["amtool", "check-config", path], capture_output=True, text=True, check=False)


def _snippet() -> dict[str, Any]:
    text = RUNBOOK.split("## Where alerts go")[1].split("```yaml\n")[1].split("```")[0]
    return dict(yaml.safe_load(text))


def _matched(matchers: list[str], labels: dict[str, str]) -> bool:
    for matcher in matchers:
        parsed = MATCHER.fullmatch(matcher)
        assert parsed is not None, matcher
        label, sign, wanted = parsed.groups()
        if (re.fullmatch(wanted, labels.get(label, "")) is not None) is (sign in {"!=", "!~"}):
            return False
    return True


@needs("amtool")
def test_alertmanager_accepts_its_configuration() -> None:
    done = _check(ALERTMANAGER)
    assert done.returncode == 0, done.stdout + done.stderr


@needs("amtool")
def test_alertmanager_accepts_the_receivers_of_the_runbook(tmp_path: Path) -> None:
    path = tmp_path / "alertmanager.yml"
    path.write_text(yaml.safe_dump(CONFIGURATION | _snippet()))
    done = _check(path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [each["name"] for each in _snippet()["receivers"]] == [each["name"] for each in CONFIGURATION["receivers"]]


@needs("amtool")
@pytest.mark.parametrize("severity", RECEIVERS)
def test_an_alert_goes_to_the_receiver_of_its_severity(severity: str) -> None:
    names = [name for name, rule in alerts().items() if rule["labels"]["severity"] == severity]
    for name in names[:2]:
        labels = [f"alertname={name}", f"severity={severity}"]
        told = subprocess.run(
            ["amtool", "config", "routes", "test", f"--config.file={ALERTMANAGER}", *labels],
            capture_output=True,
            text=True,
            check=True,
        )
        assert told.stdout.strip() == RECEIVERS[severity]


def test_no_secret_stands_in_the_configuration() -> None:
    def settings(value: object) -> list[str]:
        if isinstance(value, dict):
            return [str(key) for key in value] + [name for each in value.values() for name in settings(each)]
        return [name for each in value for name in settings(each)] if isinstance(value, list) else []

    assert [name for name in settings(CONFIGURATION) if SECRET.search(name)] == []


def _names(matchers: list[str]) -> set[str]:
    return {
        name for name in alerts() if _matched([each for each in matchers if "alertname" in each], {"alertname": name})
    }


@pytest.mark.parametrize("rule", CONFIGURATION["inhibit_rules"])
def test_an_inhibition_names_alerts_that_exist_and_never_silences_what_matters_most(rule: dict[str, Any]) -> None:
    sources, targets = _names(rule["source_matchers"]), _names(rule["target_matchers"])
    named = " ".join([*rule["source_matchers"], *rule["target_matchers"]])
    for name in re.findall(r"Headrace\w+(?!\w*\.\*)\b", named.replace("HeadraceLag.*", "")):
        assert name in alerts()
    assert sources
    assert targets
    assert not sources & targets, "an alert would silence itself"
    assert not targets & {WATCHDOG, "HeadraceServiceDown", "HeadraceDecisionsStopped", "HeadraceNeighbourAway"}


def test_no_page_is_silenced_by_a_ticket() -> None:
    severity = {name: rule["labels"]["severity"] for name, rule in alerts().items()}
    for rule in CONFIGURATION["inhibit_rules"]:
        silenced = {severity[name] for name in _names(rule["target_matchers"])}
        silencing = {severity[name] for name in _names(rule["source_matchers"])}
        assert "page" not in silenced or silencing == {"page"}


def test_prometheus_sends_to_the_alertmanager_that_it_watches() -> None:
    configuration = yaml.safe_load(PROMETHEUS.read_text())
    (group,) = configuration["alerting"]["alertmanagers"]
    watched = next(job for job in configuration["scrape_configs"] if job["job_name"] == "alertmanager")
    assert group["static_configs"] == watched["static_configs"]
