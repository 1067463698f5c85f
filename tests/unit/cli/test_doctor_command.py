"""`headrace doctor` where little or nothing runs."""

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from services.cli.__main__ import app
from services.local.addresses import SERVICES, Addresses
from services.local.state import PlatformState, write_state


def doctor(home: Path, *words: str, **environment: str) -> Result:
    return CliRunner().invoke(app, ["doctor", "--home", str(home), *words], env={"COLUMNS": "200"} | environment)


def test_before_anything_runs_it_looks_at_what_is_there(tmp_path: Path) -> None:
    shown = doctor(tmp_path)
    assert shown.exit_code == 0, shown.output
    words = " ".join(shown.stdout.split())
    assert "machine: python ok 3." in words
    assert "platform: running not checked no platform runs from" in words
    assert "0 failed" in words


def test_where_everything_is_down_it_says_so_of_each_and_fails(tmp_path: Path) -> None:
    gone = "http://127.0.0.1:1"
    addresses = Addresses(kafka=None, redis="redis://127.0.0.1:1/0", services=dict.fromkeys(SERVICES, gone))
    write_state(tmp_path, PlatformState(addresses=addresses))
    shown = doctor(tmp_path, "--json")
    assert shown.exit_code == 1
    findings = {(finding["area"], finding["subject"]): finding for finding in json.loads(shown.stdout)}
    for key in [("redis", "reachable"), *(("services", name) for name in SERVICES)]:
        assert findings[key]["outcome"] == "failed"
        assert findings[key]["advice"]
    assert findings["kafka", "reachable"]["outcome"] == "not checked"
    assert findings["registry", "mlflow"]["outcome"] == "ok"


def test_every_replica_is_looked_at_and_an_address_that_is_none_is_told_beside_them(tmp_path: Path) -> None:
    given = "http://127.0.0.1:1, http://scoring:80a"
    shown = doctor(tmp_path, "--json", HEADRACE_SCORING_URL=given)
    assert shown.exit_code == 1
    services = {found["subject"]: found for found in json.loads(shown.stdout) if found["area"] == "services"}
    assert {name: found["outcome"] for name, found in services.items()} == dict.fromkeys(SERVICES, "not checked") | {
        "scoring": "failed",
        "scoring-2": "failed",
    }
    assert "does not answer" in services["scoring"]["found"]
    assert "http://scoring:80a is no address" in services["scoring-2"]["found"]
