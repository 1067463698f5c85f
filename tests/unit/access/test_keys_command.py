"""`headrace keys` against a home: what a person sees, and what is kept."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli import keys as command
from shared.access.keys import Key, KeysFileError, change_keys, new_key, read_keys
from shared.access.roles import Role
from tests.unit.access.access_scene import NOW, Scene


def run(home: Path, *words: str) -> Result:
    return CliRunner().invoke(command.keys, [*words, "--home", str(home)])


def kept(home: Path) -> list[Key]:
    return read_keys(home / "keys.json") or []


def test_a_key_that_was_made_is_printed_once_and_opens_what_its_roles_open(tmp_path: Path) -> None:
    made = run(tmp_path, "create", "--role", "score", "--role", "label", "--name", "shop-7", "--rate", "500")
    assert made.exit_code == 0
    text = made.stdout.strip()
    assert made.stdout == text + "\n"
    assert "not shown again" in made.stderr
    prefix, key_id, secret = text.split("_", 2)
    assert prefix == "hr"
    assert len(secret) == 43  # 32 bytes in base64url, without padding
    [key] = kept(tmp_path)
    assert (key.key_id, key.name, key.rate_per_second) == (key_id, "shop-7", 500)
    scene = Scene(tmp_path)
    statuses = {path: scene.call(path, text).status_code for path in ("/v1/score", "/v1/labels", "/v1/policies")}
    assert statuses == {"/v1/score": 200, "/v1/labels": 200, "/v1/policies": 403}


def test_list_shows_every_key_and_no_secret(tmp_path: Path) -> None:
    assert "everybody on this machine" in run(tmp_path, "list").output
    first = run(tmp_path, "create", "--role", "score", "--name", "shop-7").stdout.strip()
    run(tmp_path, "create", "--role", "admin", "--name", "[bold]ops", "--rate", "5")
    shown = run(tmp_path, "list").output
    for word in ("shop-7", "score", "1000", "[bold]ops", "admin", *(key.key_id for key in kept(tmp_path))):
        assert word in shown
    assert first.split("_", 2)[2] not in shown


def test_a_revoked_key_stays_in_the_list_and_is_refused(tmp_path: Path) -> None:
    text = run(tmp_path, "create", "--role", "score", "--name", "shop-7").stdout.strip()
    key_id = text.split("_")[1]
    scene = Scene(tmp_path)
    assert scene.call("/v1/score", text).status_code == 200
    assert run(tmp_path, "revoke", key_id).exit_code == 0
    scene.notice()
    assert scene.call("/v1/score", text).status_code == 401
    [key] = kept(tmp_path)
    assert key.revoked_at is not None
    assert f"{key.revoked_at:%Y-%m-%d}" in run(tmp_path, "list").output
    again = run(tmp_path, "revoke", key_id)
    assert isinstance(again.exception, KeysFileError)
    assert "already" in str(again.exception)
    assert "headrace keys list" in str(run(tmp_path, "revoke", "0" * 12).exception)


@pytest.mark.parametrize(
    "words",
    [
        ["--role", "score"],
        ["--name", "shop-7"],
        ["--role", "owner", "--name", "shop-7"],
        ["--role", "score", "--name", "shop-7", "--rate", "0"],
        ["--role", "score", "--name", ""],
        ["--role", "score", "--name", "two\nlines"],
        ["--role", "score", "--name", "x" * 129],
    ],
)
def test_a_key_that_could_not_be_kept_is_not_made(tmp_path: Path, words: list[str]) -> None:
    run(tmp_path, "create", "--role", "admin", "--name", "first")
    assert run(tmp_path, "create", *words).exit_code != 0
    assert [key.name for key in kept(tmp_path)] == ["first"]


def test_a_file_that_is_not_ours_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text('{"keys": [{"key_id": 17}]}')
    made = run(tmp_path, "create", "--role", "score", "--name", "shop-7")
    assert isinstance(made.exception, KeysFileError)
    assert str(tmp_path / "keys.json") in str(made.exception)
    assert (tmp_path / "keys.json").read_text() == '{"keys": [{"key_id": 17}]}'


def test_of_keys_made_at_the_same_time_none_is_lost(tmp_path: Path) -> None:
    def make(number: int) -> None:
        key, _ = new_key(f"shop-{number}", frozenset({Role.SCORE}), rate_per_second=1, now=NOW)
        change_keys(tmp_path / "keys.json", lambda keys: [*keys, key])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(make, range(40)))
    assert {key.name for key in kept(tmp_path)} == {f"shop-{number}" for number in range(40)}


def test_the_keys_file_may_be_named(tmp_path: Path) -> None:
    file = tmp_path / "secrets" / "bank.json"
    made = run(tmp_path, "create", "--role", "score", "--name", "shop-7", "--keys-file", str(file))
    assert made.exit_code == 0
    assert [key.name for key in read_keys(file) or []] == ["shop-7"]
    assert not (tmp_path / "keys.json").exists()
