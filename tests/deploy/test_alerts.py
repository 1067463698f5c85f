"""Alerts fire when they should, stay silent when they should, and say what to do."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.training.settings import TrainingSettings
from shared.runtime import metrics
from shared.runtime.settings import ServiceSettings
from tests.deploy.alerting import PROMETHEUS, RULE_TESTS, RULES, WATCHDOG, alerts, rules
from tests.deploy.binaries import needs
from tests.deploy.expressions import assert_known

RULES_AS_NAMED = "../../deploy/prometheus/rules"
BUCKET = re.compile(r'(headrace_\w+)_bucket\{[^}]*le="([^"]+)"')
OF_A_SETTING = {
    "HeadraceLagSeconds": ServiceSettings.model_fields["headrace_state_age_seconds_max"].default,
    "HeadraceStateStale": ServiceSettings.model_fields["headrace_state_age_seconds_max"].default,
    "HeadraceModelTooOld": TrainingSettings.model_fields["headrace_training_window_days"].default,
    "HeadraceRolloutStuck": TrainingSettings.model_fields["headrace_training_rollout_hours_max"].default / 24 + 1,
}
"""What has to follow when a default is changed: the number that the rule names."""


def _checks() -> list[dict[str, Any]]:
    tests = [test for path in RULE_TESTS for test in yaml.safe_load(path.read_text())["tests"]]
    return [check for test in tests for check in test["alert_rule_test"]]


def _promtool(*arguments: str | Path) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs("promtool")
def test_prometheus_accepts_its_configuration_and_lints_every_rule() -> None:
    _promtool("check", "config", "--lint=all", "--lint-fatal", PROMETHEUS)


@needs("promtool")
@pytest.mark.parametrize("path", RULE_TESTS, ids=lambda path: path.stem.removeprefix("alerts_test_"))
def test_alerts_fire_when_they_should_and_not_before(path: Path) -> None:
    _promtool("test", "rules", path)


@needs("promtool")
def test_a_threshold_that_is_changed_is_found(tmp_path: Path) -> None:
    rule_file = next(path for path in RULES if path.stem == "recommendations")
    (tmp_path / rule_file.name).write_text(rule_file.read_text().replace("> 0.01", "> 0.9"))
    test_file = next(path for path in RULE_TESTS if path.stem == "alerts_test_recommendations")
    broken = tmp_path / test_file.name
    broken.write_text(test_file.read_text().replace(f"{RULES_AS_NAMED}/", ""))
    done = subprocess.run(["promtool", "test", "rules", broken], capture_output=True, check=False)
    assert done.returncode != 0
    assert b"HeadraceRecommendationsDegraded" in done.stdout + done.stderr


def test_every_rule_file_is_read_and_tested() -> None:
    read = {path for pattern in yaml.safe_load(PROMETHEUS.read_text())["rule_files"] for path in _found(pattern)}
    assert read == set(RULES)
    tested = {name for path in RULE_TESTS for name in yaml.safe_load(path.read_text())["rule_files"]}
    assert tested == {f"{RULES_AS_NAMED}/{path.name}" for path in RULES}


def _found(pattern: str) -> list[Path]:
    return list(PROMETHEUS.parent.glob(pattern))


def test_every_alert_is_seen_to_fire() -> None:
    fired = {check["alertname"] for check in _checks() if check["exp_alerts"]}
    assert fired == set(alerts()), "an alert without a case in which it fires, or a case without its alert"


def test_every_alert_is_seen_to_stay_silent() -> None:
    silent = {check["alertname"] for check in _checks() if check["exp_alerts"] == []}
    assert silent == set(alerts()) - {WATCHDOG}


def test_a_check_says_what_it_expects() -> None:
    # promtool takes a check that expects nothing, by a slip, for one that expects silence.
    assert [check for check in _checks() if check["exp_alerts"] is None] == []


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule.get("alert", rule.get("record"))))
def test_a_rule_names_metrics_and_labels_that_exist(rule: dict[str, Any]) -> None:
    assert_known(rule["expr"])


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule.get("alert", rule.get("record"))))
def test_a_rule_names_buckets_that_exist(rule: dict[str, Any]) -> None:
    for name, edge in BUCKET.findall(rule["expr"]):
        edges = [float(bound) for bound in _edges(name)]
        assert float(edge) in edges, f"{name} has no bucket {edge}: {edges}"
        assert edge == str(float(edge)), "Prometheus writes it so"


def _edges(name: str) -> list[float]:
    histogram = metrics.REGISTRY._names_to_collectors[name]
    return list(getattr(histogram, "_upper_bounds"))  # noqa: B009 - set by the vendor at run time


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_how_urgent_it_is_what_happened_and_where_to_read_on(name: str) -> None:
    rule = alerts()[name]
    assert rule["labels"]["severity"] in ({"none"} if name == WATCHDOG else {"page", "ticket"})
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]
    assert rule["annotations"]["runbook_url"] == f"docs/runbook.md#{name.lower()}"


@pytest.mark.parametrize("name", OF_A_SETTING)
def test_a_number_that_a_setting_has_is_the_default_of_that_setting(name: str) -> None:
    rule = alerts()[name]
    named = re.findall(r"(?<![\w.])\d+(?:\.\d+)?", f"{rule['expr']} {rule.get('for', '')}")
    numbers = {float(number) for number in named}
    assert float(OF_A_SETTING[name]) in numbers
