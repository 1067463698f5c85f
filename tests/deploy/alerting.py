"""The alert rules, their tests for promtool, and their runbook, as data."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy/prometheus/prometheus.yml"
RULES = sorted((ROOT / "deploy/prometheus/rules").glob("*.yml"))
RULE_TESTS = sorted(Path(__file__).parent.glob("alerts_test_*.yml"))
ALERTMANAGER = ROOT / "deploy/alertmanager/alertmanager.yml"
RUNBOOK = (ROOT / "docs/runbook.md").read_text()
WATCHDOG = "Watchdog"


@cache
def rules() -> list[dict[str, Any]]:
    """Return every rule: recorded, or an alert."""
    groups = [group for path in RULES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


@cache
def alerts() -> dict[str, dict[str, Any]]:
    """Return every alert rule by its name."""
    named = [rule for rule in rules() if "alert" in rule]
    found = {rule["alert"]: rule for rule in named}
    assert len(found) == len(named), "two alerts have one name"
    return found
