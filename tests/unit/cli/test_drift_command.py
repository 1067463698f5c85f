"""`headrace drift` against a drift service that answers over HTTP."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli.drift import drift
from services.drift.shown.endpoints import SCHEMAS, add_routes
from services.drift.shown.status import Snapshot
from services.local.errors import PlatformError
from shared.access.keys import change_keys, new_key
from shared.access.roles import Role
from shared.intake.http import DescribedApi
from shared.runtime.service import Service, http_server
from shared.runtime.settings import ServiceSettings
from tests.unit.drift.status_scene import HOSTILE, NOW, fallen_model, quiet_model, snapshot


@contextlib.contextmanager
def serving(seen: Snapshot, home: Path) -> Iterator[str]:
    """Answer for a drift service that sees `seen`; yields its address."""
    app = DescribedApi(title="drift", description="for a test", schemas=SCHEMAS)
    add_routes(app, lambda: seen)
    server = http_server(Service(name="drift", app=app), ServiceSettings(headrace_home=home))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def run(*words: str, **environment: str) -> Result:
    return CliRunner().invoke(drift, words, env={"COLUMNS": "180"} | environment)


def test_status_tells_an_alarm_and_what_it_waits_for_and_fails(tmp_path: Path) -> None:
    with serving(snapshot(fallen_model(), quiet_model()), tmp_path) as url:
        shown = run("status", "--url", url)
    assert shown.exit_code == 1
    text = " ".join(shown.stdout.split())
    for told in (
        "fraud 12 alarmed in force since 2026-04-22 08:30, trained on what came until 2026-04-14",
        "budget: 1 false alarm(s) a quarter; needless retrainings in the last one: 1",
        "████████████████████ 41,000.0 of 183 once in 112.3 years",
        "recall alarmed 0.31 0.66 once in 112.3 years 2026-05-23",
        "waits for: training's answer to the request",
        "cannot see: no label of channel=<b>pos</b> has come for three weeks",
        "alarm 2026-06-01 05:30, performance, recall (version 12): Recall has fallen",
        "recommendation 3 quiet",
    ):
        assert told in text
    assert HOSTILE[:12] in text


def test_status_of_what_is_quiet_succeeds(tmp_path: Path) -> None:
    with serving(snapshot(quiet_model()), tmp_path) as url:
        shown = run("status", "--url", url)
    assert shown.exit_code == 0
    assert "alarmed" not in shown.stdout


def test_without_a_model_status_says_how_to_get_one(tmp_path: Path) -> None:
    with serving(snapshot(), tmp_path) as url:
        shown = run("status", HEADRACE_DRIFT_URL=url)
    assert shown.exit_code == 0
    assert "see `headrace train`" in shown.stdout


def test_a_model_that_cannot_be_watched_is_no_success(tmp_path: Path) -> None:
    with serving(snapshot(quiet_model(problem="manifest.json [of 3] is missing")), tmp_path) as url:
        shown = run("status", "--url", url)
    assert shown.exit_code == 1
    assert "manifest.json [of 3] is missing" in shown.stdout


def test_report_writes_the_page(tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    with serving(snapshot(quiet_model()), tmp_path) as url:
        written = run("report", "--url", url, "--out", str(out))
    assert written.exit_code == 0
    assert out.read_text().startswith("<!doctype html>")


def test_where_keys_are_asked_for_an_admins_opens_and_another_does_not(tmp_path: Path) -> None:
    admin, admin_text = new_key("on-call", frozenset({Role.ADMIN}), rate_per_second=100, now=NOW)
    shop, shop_text = new_key("shop", frozenset({Role.SCORE}), rate_per_second=100, now=NOW)
    change_keys(ServiceSettings(headrace_home=tmp_path).keys_file, lambda _: [admin, shop])
    with serving(snapshot(quiet_model()), tmp_path) as url:
        assert run("status", "--url", url, HEADRACE_API_KEY=admin_text).exit_code == 0
        for environment in ({}, {"HEADRACE_API_KEY": shop_text}):
            refused = run("status", "--url", url, **environment)
            assert isinstance(refused.exception, PlatformError)
            assert "headrace keys create --role admin" in str(refused.exception)


def test_a_service_that_is_not_there_is_said_in_one_line() -> None:
    refused = run("status", "--url", "http://127.0.0.1:1")
    assert isinstance(refused.exception, PlatformError)
    assert "does not answer" in str(refused.exception)


def test_without_a_platform_it_is_said_how_to_get_one(tmp_path: Path) -> None:
    refused = run("status", "--home", str(tmp_path))
    assert isinstance(refused.exception, PlatformError)
    assert "`headrace up`" in str(refused.exception)


def test_a_report_for_no_folder_is_refused_before_anybody_is_asked(tmp_path: Path) -> None:
    refused = run("report", "--url", "http://127.0.0.1:1", "--out", str(tmp_path / "none" / "page.html"))
    assert refused.exit_code == 2


@pytest.mark.parametrize("command", ["status", "report"])
def test_help_says_what_there_is(command: str) -> None:
    assert run(command, "--help").exit_code == 0
