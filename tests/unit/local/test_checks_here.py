"""What the doctor says of this machine, the settings, the files of models, and services over HTTP."""

import contextlib
import http.server
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest

from services.local.checks.finding import Area, Finding
from services.local.checks.machine import Machine, check_machine
from services.local.checks.registry import check_registry
from services.local.checks.services import check_services
from services.local.checks.settings import check_settings
from shared.access.keys import change_keys, new_key
from shared.access.roles import Role
from shared.bus.base import Bus, Outgoing
from shared.bus.memory import MemoryBus
from shared.contracts.topics import MODELS
from shared.models.packages import MODEL_FILE, Packages
from shared.runtime.clock import SystemClock
from tests.model_events import chain, model_event
from tests.models import flip_a_byte, manifest_of, onnx_bytes

AREA = Area("here")
GIB = 2**30


def told(findings: Sequence[Finding]) -> dict[str, str]:
    """Return what is not as it should be."""
    assert all(finding.advice for finding in findings if finding.outcome in {"warning", "failed"})
    return {finding.subject: finding.outcome for finding in findings if finding.outcome != "ok"}


def found(findings: Sequence[Finding], subject: str) -> str:
    return " ".join(finding.found for finding in findings if finding.subject == subject)


def machine(home: Path, *, free_gib: float = 100.0, lock: str = "", is_running: bool = True) -> Machine:
    path = home / "requirements.lock"
    path.write_text(lock)
    return Machine(home, path, is_running, lambda _: int(free_gib * GIB))


@pytest.mark.parametrize(("free_gib", "outcome"), [(100, {}), (5, {"disk": "warning"}), (0.5, {"disk": "failed"})])
def test_a_disk_that_fills_up_is_told_before_it_is_full(
    tmp_path: Path, free_gib: float, outcome: dict[str, str]
) -> None:
    looked_at = check_machine(AREA, machine(tmp_path, free_gib=free_gib)._replace(home=tmp_path / "not" / "made"))
    assert told(looked_at) == outcome
    assert str(tmp_path) in found(looked_at, "disk")


def test_packages_that_are_not_those_of_the_lock_are_named(tmp_path: Path) -> None:
    lock = "pytest==0.0.1 \\\n    --hash=sha256:00\n    # via headrace\nno-such-package==1.2\n"
    looked_at = check_machine(AREA, machine(tmp_path, lock=lock))
    assert told(looked_at) == {"packages": "warning"}
    assert "2 of 2" in found(looked_at, "packages")
    assert "no-such-package missing, not 1.2" in found(looked_at, "packages")
    assert told(check_machine(AREA, machine(tmp_path)._replace(lock=tmp_path / "none"))) == {"packages": "not checked"}


def test_a_misspelt_setting_is_told_with_what_may_be_meant_and_a_wrong_one_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told(check_settings(AREA, {"HEADRACE_HOME": "x", "HEADRACE_SCORING_URL": "y"}, home=tmp_path)) == {}
    names = {"HEADRACE_TOPIC_PARTITION": "3", "HEADRACE_TRAINING_ROWSMIN": "3"}
    looked_at = check_settings(AREA, names, home=tmp_path)
    assert told(looked_at) == {"names": "warning"}
    assert "HEADRACE_TOPIC_PARTITIONS may be meant" in found(looked_at, "names")
    assert "HEADRACE_TRAINING_ROWS_MIN may be meant" in found(looked_at, "names")
    monkeypatch.setenv("HEADRACE_TRAINING_ROWS_MIN", "many")
    looked_at = check_settings(AREA, {}, home=tmp_path)
    assert told(looked_at) == {"values": "failed"}
    assert "HEADRACE_TRAINING_ROWS_MIN" in found(looked_at, "values")


def test_a_file_of_keys_that_others_may_read_or_nobody_can_is_told(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, _ = new_key("shop", frozenset({Role.SCORE}), rate_per_second=10, now=SystemClock().now())
    change_keys(path, lambda keys: [*keys, key])
    assert told(check_settings(AREA, {}, home=tmp_path)) == {}
    path.chmod(0o644)
    assert told(check_settings(AREA, {"HEADRACE_KEYS_FILE": str(path)}, home=tmp_path / "x")) == {"keys": "warning"}
    path.write_text("{")
    assert told(check_settings(AREA, {}, home=tmp_path)) == {"keys": "failed"}


def test_the_mode_of_keys_that_cannot_be_changed_from_here_is_not_held_against_them(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key, _ = new_key("shop", frozenset({Role.SCORE}), rate_per_second=10, now=SystemClock().now())
    change_keys(path, lambda keys: [*keys, key])
    path.chmod(0o440)
    looked_at = check_settings(AREA, {}, home=tmp_path, writable=lambda folder: folder != tmp_path)
    assert told(looked_at) == {}
    assert "1 keys in force" in found(looked_at, "keys")


def announced(*versions: int) -> Bus:
    bus = MemoryBus(partitions=1)
    bus.create_topics([MODELS])
    events = [model_event("promoted", n, model_digest=manifest_of(n).model_digest) for n in versions]
    for value in chain(events):
        bus.publisher().send(Outgoing(MODELS.name, b"fraud", value))
    return bus


def test_files_of_the_version_in_force_that_are_not_as_announced_are_told(tmp_path: Path) -> None:
    check = partial(check_registry, AREA, tmp_path, tracking_uri=None)
    assert told(check(open_bus=announced)) == {}
    assert told(check(open_bus=None)) == {"files": "not checked"}
    in_force = partial(announced, 1, 2)
    assert told(check(open_bus=in_force)) == {"files": "not checked"}
    folder = Packages(tmp_path / "models").add(manifest_of(2), onnx_bytes())
    assert told(check(open_bus=in_force)) == {}
    flip_a_byte(folder / MODEL_FILE)
    looked_at = check(open_bus=in_force)
    assert told(looked_at) == {"files": "failed"}
    assert "fraud 2" in found(looked_at, "files")


def test_mlflow_that_is_damaged_or_away_is_told_without_its_password(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    with contextlib.closing(sqlite3.connect(database)) as made:
        made.execute("CREATE TABLE runs (id)")
    assert told(check_registry(AREA, tmp_path, tracking_uri=None, open_bus=announced)) == {}
    database.write_bytes(b"no database at all" * 1000)
    assert told(check_registry(AREA, tmp_path, tracking_uri=None, open_bus=announced)) == {"mlflow": "failed"}
    away = check_registry(AREA, tmp_path, tracking_uri="http://ada:secret@127.0.0.1:1", open_bus=announced)
    assert told(away) == {"mlflow": "failed"}
    assert "127.0.0.1:1" in found(away, "mlflow")
    assert "secret" not in found(away, "mlflow")
    misspelt = check_registry(AREA, tmp_path, tracking_uri="http://mlflow:50a", open_bus=announced)
    assert told(misspelt) == {"mlflow": "failed"}


READY = '{"problems": {}}'


@contextlib.contextmanager
def answering(pages: Mapping[str, str]) -> Iterator[str]:
    """Answer over HTTP with `pages`, by path, as a service does; yields its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(pages[self.path].encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def service(version: str, *, fenced: int = 0, waiting: int = 0, oldest_seconds: float = 0) -> Mapping[str, str]:
    lines = [
        f'headrace_build_info{{service="x",version="{version}",commit="abc"}} 1.0',
        f'headrace_loop_fenced_total{{service="x"}} {fenced}',
        f"headrace_journal_waiting_entries {waiting}",
        f"headrace_journal_oldest_seconds {oldest_seconds}",
    ]
    return {"/health/ready": READY, "/metrics": "\n".join(lines) + "\n"}


def test_services_that_are_away_differ_or_are_taken_over_are_told() -> None:
    with answering(service("1.0")) as ingest, answering(service("1.0")) as scoring:
        assert told(check_services(AREA, {"ingest": ingest, "scoring": scoring})) == {}
        looked_at = check_services(AREA, {"ingest": ingest, "scoring": "http://127.0.0.1:1", "drift": None})
    assert told(looked_at) == {"scoring": "failed", "drift": "not checked"}
    assert "http://127.0.0.1:1 does not answer" in found(looked_at, "scoring")
    other = service("1.1", fenced=3, waiting=7, oldest_seconds=90)
    with answering(service("1.0")) as ingest, answering(other) as scoring:
        looked_at = check_services(AREA, {"scoring": ingest, "scoring-2": scoring})
    assert told(looked_at) == {"versions": "warning", "taken over": "warning", "journal": "warning"}
    assert "scoring-2 1.1 (abc)" in found(looked_at, "versions")
    assert "scoring-2 3 times" in found(looked_at, "taken over")
    assert "7 payments" in found(looked_at, "journal")
