"""The runbook has an entry for every alert, and speaks of what exists."""

import json
import re

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from services.cli.__main__ import app
from shared.runtime import metrics
from tests.deploy.alerting import ROOT, RUNBOOK, alerts

ENTRY = re.compile(r"^### (.+)$", re.MULTILINE)
COMMAND = re.compile(r"`headrace ([^`]+)`")
PANEL = re.compile(r"\*([A-Z][^*/\n]+) / ([^*\n]+)\*")
METRIC = re.compile(r"`(headrace_\w+)`")


def test_every_alert_has_an_entry_and_every_entry_its_alert() -> None:
    assert sorted(ENTRY.findall(RUNBOOK)) == sorted(alerts())


@pytest.mark.parametrize("name", alerts())
def test_the_address_that_an_alert_gives_leads_to_its_entry(name: str) -> None:
    file, _, anchor = alerts()[name]["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / file).read_text(), re.MULTILINE)
    # As GitHub makes anchors: lower case, letters, digits and hyphens.
    assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", alerts())
def test_an_entry_says_how_urgent_it_is_where_to_look_and_what_to_do(name: str) -> None:
    entry = RUNBOOK.split(f"### {name}\n")[1].split("\n#")[0]
    severity = alerts()[name]["labels"]["severity"]
    assert entry.strip().startswith("Always fires." if severity == "none" else f"{severity.capitalize()}.")
    assert "- **Look at**" in entry
    assert "- **Do**:" in entry


@pytest.mark.parametrize("line", sorted(set(COMMAND.findall(RUNBOOK))))
def test_a_command_exists(line: str) -> None:
    command = get_command(app)
    words = line.split()
    while isinstance(command, TyperGroup) and words:
        name = words.pop(0)
        assert name in command.commands, f"`headrace {line}`: there is no {name}"
        command = command.commands[name]
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options


def test_a_panel_exists() -> None:
    boards = [json.loads(path.read_text()) for path in (ROOT / "deploy/grafana/dashboards").glob("*.json")]
    shown = {
        (board["title"].removeprefix("Headrace: "), panel["title"]) for board in boards for panel in board["panels"]
    }
    named = {(board, panel) for board, panel in PANEL.findall(RUNBOOK.replace("\n  ", " "))}
    assert named
    assert named - shown == set()


def test_a_metric_exists() -> None:
    known = {metric.name for metric in metrics.described()}
    assert set(METRIC.findall(RUNBOOK)) - known == set()
