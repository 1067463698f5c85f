"""Whoever sets a variable wrongly is told its name, what is wrong with it, and what may have been meant."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from services.local.processes import ROOT
from shared.runtime.process import run_process
from shared.runtime.service import Service
from shared.runtime.settings import ServiceSettings
from shared.runtime.settings_checks import problems, unread

SERVICES = ("ingest", "features", "scoring", "training", "drift")
WRONG = [
    ("ingest", {"HEADRACE_HTTP_PORT": "http"}, "setting HEADRACE_HTTP_PORT=http: Input should be a valid integer"),
    (
        "features",
        {"HEADRACE_HTTP_PORT": "70000"},
        "HEADRACE_HTTP_PORT=70000: Input should be less than or equal to 65535",
    ),
    (
        "drift",
        {"HEADRACE_DRIFT_PSI_MIN": "-1"},
        "HEADRACE_DRIFT_PSI_MIN=-1: Input should be greater than or equal to 0",
    ),
    (
        "scoring",
        {"HEADRACE_SCORING_FALLBACK": "maybe"},
        "HEADRACE_SCORING_FALLBACK=maybe: Input should be 'approve', 'review'",
    ),
    (
        "ingest",
        {"HEADRACE_LOG_LEVEL": "loud"},
        "HEADRACE_LOG_LEVEL=loud: Input should be 'debug', 'info', 'warning' or 'error'",
    ),
    ("training", {"HEADRACE_TRAINING_KIND_WEIGHTS": '{"hug": 1}'}, "HEADRACE_TRAINING_KIND_WEIGHTS[hug]"),
    (
        "ingest",
        {"HEADRACE_TLS_KEY_FILE": "/nowhere/key.pem"},
        "HEADRACE_TLS_KEY_FILE=/nowhere/key.pem: Path does not point",
    ),
    ("ingest", {"HEADRACE_INSTANCE": "a b"}, "HEADRACE_INSTANCE=a b: String should match pattern"),
    (
        "ingest",
        {"HEADRACE_INGEST_OUTSTANDING_MAX": "10"},
        "setting HEADRACE_INGEST_OUTSTANDING_MAX must be at least HEADRACE_INGEST_BATCH_EVENTS_MAX",
    ),
    ("ingest", {"HEADRACE_TLS_KEY_FILE": __file__}, "setting HEADRACE_TLS_CERTIFICATE_FILE must be set beside"),
]


def started(service: str, given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Start a service whose settings are wrong, so that it never gets as far as being built."""
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    def build(*_: object) -> Service:
        raise AssertionError("it was built with wrong settings")

    return run_process(service, settings_of(service), build)


@pytest.mark.parametrize(("service", "given", "told"), WRONG, ids=["-".join(given) for _, given, _ in WRONG])
def test_a_wrong_setting_is_named_with_what_is_wrong(
    service: str,
    given: dict[str, str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert started(service, given, monkeypatch) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{service}: setting ")
    assert told in line
    assert line.endswith("(see docs/settings.md)")


def test_several_wrong_settings_are_told_at_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started("ingest", {"HEADRACE_HTTP_PORT": "0", "HEADRACE_TOPIC_PARTITIONS": "0"}, monkeypatch)
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_password_in_an_address_is_not_shown() -> None:
    secret = "redis://:sesame@127.0.0.1"  # noqa: S105 - the test's own
    with pytest.raises(ValidationError) as raised:
        ServiceSettings.model_validate({"redis_url": [secret]})
    assert "sesame" not in " ".join(problems(raised.value))


def test_a_variable_that_nothing_reads_is_told_with_the_nearest_name() -> None:
    given = ["HEADRACE_SCORNG_FALLBACK", "HEADRACE_SCORING_FALBACK", "HEADRACE_MOON", "HEADRACE_HOME", "PATH"]
    found = unread(given, names_of("scoring"), service_name="scoring")
    assert [(one.name, one.nearest) for one in found] == [
        ("HEADRACE_MOON", None),
        ("HEADRACE_SCORING_FALBACK", "HEADRACE_SCORING_FALLBACK"),
        ("HEADRACE_SCORNG_FALLBACK", "HEADRACE_SCORING_FALLBACK"),
    ]
    assert "HEADRACE_SCORING_FALLBACK may be meant" in str(found[1])


@pytest.mark.parametrize("service", SERVICES)
def test_what_others_read_is_left_to_them(service: str) -> None:
    """One environment may serve every service, the command line, and Kubernetes, which adds variables of its own."""
    everything = {name for other in SERVICES for name in names_of(other)}
    of_others = {"HEADRACE_API_KEY", "HEADRACE_SCORING_URL", "HEADRACE_PROMETHEUS_URL"}
    of_kubernetes = {
        "HEADRACE_SCORING_SERVICE_HOST",
        "HEADRACE_SCORING_SERVICE_PORT",
        "HEADRACE_SCORING_SERVICE_PORT_HTTP",
        "HEADRACE_SCORING_PORT",
        "HEADRACE_SCORING_PORT_8000_TCP",
        "HEADRACE_SCORING_PORT_8000_TCP_ADDR",
    }
    assert unread(everything | of_others | of_kubernetes, names_of(service), service_name=service) == []


def test_a_service_warns_of_what_nothing_reads_as_it_starts(tmp_path: Path) -> None:
    given = {
        "HEADRACE_INGEST_BATCH_EVENT_MAX": "5",
        "HEADRACE_HTTP_HOST": "0.0.0.0",  # noqa: S104 - it ends for want of keys
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "HEADRACE_HOME": str(tmp_path),
        "PATH": os.environ["PATH"],
    }
    command = [sys.executable, "-m", "services.ingest"]
    ended = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    [line] = [line for line in ended.stderr.splitlines() if "nothing reads" in line]
    assert '"level":"warning"' in line
    assert "HEADRACE_INGEST_BATCH_EVENTS_MAX may be meant" in line


def names_of(service: str) -> list[str]:
    return [name.upper() for name in settings_of(service).model_fields]


def settings_of(service: str) -> type[ServiceSettings]:
    module = importlib.import_module(f"services.{service}.settings")
    settings: type[ServiceSettings] = getattr(module, f"{service.capitalize()}Settings")
    return settings
