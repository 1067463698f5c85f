"""The command line as a person meets it: help that helps, errors in one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from services.local.addresses import Addresses
from services.local.processes import ROOT
from services.local.state import PlatformState, write_state


def headrace(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        cwd=ROOT,
        env={"HEADRACE_HOME": str(home), "PATH": "/usr/bin:/bin", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_shows_every_command_and_where_to_begin(tmp_path: Path) -> None:
    shown = headrace("--help", home=tmp_path)
    assert shown.returncode == 0
    for word in ("demo", "up", "down", "status", "topics", "replay", "train", "rebuild", "Begin with headrace demo"):
        assert word in shown.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["train"],
        ["rebuild"],
        ["rebuild", "--from", "archive"],
        ["topics", "--create"],
        ["dlq", "list"],
    ],
)
def test_without_a_platform_a_command_says_how_to_get_one_in_one_line(tmp_path: Path, arguments: list[str]) -> None:
    refused = headrace(*arguments, home=tmp_path)
    assert refused.returncode == 1
    [line] = refused.stderr.splitlines()
    assert line.startswith("headrace: no platform runs from")
    assert "`headrace up`" in line


def test_down_without_a_platform_is_no_error(tmp_path: Path) -> None:
    answer = headrace("down", home=tmp_path)
    assert answer.returncode == 0
    assert "nothing was running" in answer.stdout


def test_topics_shows_the_table_without_a_broker(tmp_path: Path) -> None:
    shown = headrace("topics", home=tmp_path)
    assert shown.returncode == 0
    assert "transactions" in shown.stdout
    assert "without live counts" in shown.stdout


def test_status_names_a_service_that_does_not_answer_and_fails(tmp_path: Path) -> None:
    write_state(
        tmp_path,
        PlatformState(
            addresses=Addresses(kafka=None, redis=None, services={"ingest": "http://127.0.0.1:1"}),
        ),
    )
    shown = headrace("status", home=tmp_path)
    assert shown.returncode == 1
    text = " ".join(shown.stdout.split())
    assert "http://127.0.0.1:1 does not answer" in text
    assert "its address is not known: set HEADRACE_SCORING_URL" in text


def test_an_unreachable_broker_is_one_line_too(tmp_path: Path) -> None:
    write_state(tmp_path, PlatformState(addresses=Addresses(kafka="127.0.0.1:1", redis=None, services={})))
    refused = headrace("train", home=tmp_path)
    assert refused.returncode == 1
    [line] = refused.stderr.splitlines()
    assert line.startswith("headrace: Kafka does not answer")
