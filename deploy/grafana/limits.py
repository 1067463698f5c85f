"""Where a panel's colour changes: at the numbers that alert rules and settings have."""

import math
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic_settings import BaseSettings

RULES = Path(__file__).parents[1] / "prometheus" / "rules"
_COMPARISON = re.compile(r"(?<![<>=!])(?P<sign>[<>])=?\s*\(?\s*(?P<number>\d[\d.e-]*(?:\s*\*\s*\d[\d.e-]*)*)")
_BUCKET = re.compile(r'le="(?P<seconds>[\d.]+)"')
_JUST_ABOVE_ZERO = 1e-6
"""A panel colours from a number on, a rule speaks of what is above it."""
_COLOURS = {"page": "red", "ticket": "orange"}


class Limit(NamedTuple):
    """What is beyond `value` wears `colour`."""

    value: float
    colour: str
    is_lowest: bool = False
    """Beyond is below."""


def alert_limit(alert: str) -> Limit:
    """Return the first number that an alert rule compares with, in the colour of its severity.

    Raises:
        ValueError: there is no such rule, or it compares with no number.
    """
    rule = next((rule for rule in _rules() if rule.get("alert") == alert), None)
    if rule is None:
        raise ValueError(f"there is no rule {alert} below {RULES}")
    comparison = _COMPARISON.search(rule["expr"])
    if comparison is None:
        raise ValueError(f"the rule {alert} compares with no number: {rule['expr']}")
    number = math.prod(float(factor) for factor in comparison["number"].split("*"))
    return Limit(number or _JUST_ABOVE_ZERO, _COLOURS[rule["labels"]["severity"]], comparison["sign"] == "<")


def objective_limit(objective: str) -> Limit:
    """Return within how many seconds an answer keeps an objective; what takes longer uses up its allowance.

    Raises:
        ValueError: no rule records what misses it by its time.
    """
    misses = (rule["expr"] for rule in _rules() if rule.get("labels", {}).get("objective") == objective)
    bound = next((found for found in map(_BUCKET.search, misses) if found is not None), None)
    if bound is None:
        raise ValueError(f"no rule below {RULES} records what misses {objective} by its time")
    return Limit(float(bound["seconds"]), "orange")


def setting_limit(settings: type[BaseSettings], name: str) -> Limit:
    """Return the default of a setting as a limit; it colours, and wakes nobody."""
    return Limit(float(settings.model_fields[name].default), "orange")


@cache
def _rules() -> list[dict[str, Any]]:
    files = [yaml.safe_load(path.read_text()) for path in sorted(RULES.glob("*.yml"))]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]
