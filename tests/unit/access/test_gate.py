"""Who is answered, who is not, and what they are told."""

from pathlib import Path

import pytest

from shared.access.keys import Key, change_keys, read_keys
from shared.access.roles import Role
from tests.unit.access.access_scene import Scene

SCORING = ["/v1/score", "/v1/score/batch", "/v1/transactions", "/v1/transactions/batch", "/v2/models/fraud/infer"]
LABELLING = ["/v1/labels", "/v1/labels/batch"]
RECOMMENDING = ["/v1/interactions", "/v1/recommendations", "/v1/rank", "/v1/popular", "/v1/trending"]
CATALOGUING = ["/v1/items", "/v1/items/batch", "/v1/users", "/v1/items/i1", "/v1/users/u1"]
ADMINISTERING = ["/v1/policies", "/", "/v1/scoreboard", "/redoc"]
OPEN = ["/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json"]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.mark.parametrize(
    ("role", "open_to_it", "closed_to_it"),
    [
        (Role.SCORE, SCORING, [*LABELLING, *RECOMMENDING, *CATALOGUING, *ADMINISTERING]),
        (Role.LABEL, LABELLING, [*SCORING, *RECOMMENDING, *CATALOGUING, *ADMINISTERING]),
        (Role.RECOMMEND, RECOMMENDING, [*SCORING, *LABELLING, *CATALOGUING, *ADMINISTERING]),
        (Role.CATALOGUE, CATALOGUING, [*SCORING, *LABELLING, *RECOMMENDING, *ADMINISTERING]),
        (Role.ADMIN, [*SCORING, *LABELLING, *RECOMMENDING, *CATALOGUING, *ADMINISTERING], []),
    ],
)
def test_a_role_opens_its_paths_and_no_other(
    scene: Scene, role: Role, open_to_it: list[str], closed_to_it: list[str]
) -> None:
    key = scene.add_key(role)
    assert {path: scene.call(path, key).status_code for path in [*open_to_it, *OPEN]} == dict.fromkeys(
        [*open_to_it, *OPEN], 200
    )
    assert {path: scene.call(path, key).status_code for path in closed_to_it} == dict.fromkeys(closed_to_it, 403)


@pytest.mark.parametrize("path", CATALOGUING)
def test_the_catalogue_is_read_by_one_role_and_written_by_another(scene: Scene, path: str) -> None:
    reader, writer = scene.add_key(Role.RECOMMEND), scene.add_key(Role.CATALOGUE)
    reading, writing = ["GET", "HEAD"], ["PUT", "POST", "DELETE", "OPTIONS", "FIND"]
    assert {scene.call(path, reader, method=method).status_code for method in writing} == {403}
    assert {scene.call(path, writer, method=method).status_code for method in reading} == {403}
    assert scene.call(path, reader, method="GET").status_code == 200
    assert scene.call(path, writer, method="DELETE").status_code == 200


def test_who_lacks_a_role_is_told_which(scene: Scene) -> None:
    answer = scene.call("/v1/labels", scene.add_key(Role.SCORE))
    assert answer.json()["error"]["code"] == "forbidden"
    assert "role label" in answer.json()["error"]["message"]
    assert "--role label" in answer.json()["error"]["hint"]


def test_the_app_learns_whom_the_gate_admitted(scene: Scene) -> None:
    assert scene.call("/v1/score", scene.add_key(Role.SCORE, name="shop-9")).json() == "shop-9"


def test_whoever_is_not_known_is_told_the_same_whatever_was_wrong(scene: Scene) -> None:
    key = scene.add_key(Role.SCORE)
    gone = scene.add_key(Role.SCORE)
    scene.revoke(gone)
    prefix, key_id, secret = key.split("_", 2)
    wrong = [
        None,
        gone,
        f"{prefix}_{key_id}_{secret[:-1]}",
        f"{prefix}_{'0' * 12}_{secret}",
        f"sk_{key_id}_{secret}",
        key_id,
        "hr__",
        "\xff_\xff_\xff",
    ]
    answers = [scene.call("/v1/score", headers={"X-API-Key": text} if text else None) for text in wrong]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}
    assert set(answers[0].json()["error"]) == {"code", "message", "field", "hint"}
    assert {scene.call(path).status_code for path in OPEN} == {200}


def test_a_key_is_taken_from_either_header(scene: Scene) -> None:
    key = scene.add_key(Role.SCORE)
    for headers in (
        {"X-API-Key": key},
        {"Authorization": f"bearer {key}"},
        {"Authorization": "Basic x", "X-API-Key": key},
    ):
        assert scene.call("/v1/score", headers=headers).status_code == 200
    assert scene.call("/v1/score", headers={"Authorization": f"Basic {key}"}).status_code == 401


def test_without_a_keys_file_everybody_is_answered_unless_keys_are_required(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert scene.gate.is_open()
    assert scene.call("/v1/policies").json() == "open"
    assert scene.gate.problem() is None
    closed = Scene(tmp_path, keys_required=True)
    assert not closed.gate.is_open()
    assert closed.call("/v1/score").status_code == 401
    assert "keys create" in str(closed.gate.problem())
    key = closed.add_key(Role.SCORE)
    assert closed.call("/v1/score", key).status_code == 200
    assert closed.gate.problem() is None


def test_the_first_key_closes_the_gate_while_the_service_runs(scene: Scene) -> None:
    assert scene.call("/v1/score").status_code == 200
    key = scene.add_key(Role.SCORE)
    assert scene.call("/v1/score").status_code == 401
    assert scene.call("/v1/score", key).status_code == 200


def test_a_revoked_key_is_refused_within_a_second_and_the_others_stay(scene: Scene) -> None:
    kept, gone = scene.add_key(Role.SCORE), scene.add_key(Role.SCORE)
    assert scene.call("/v1/score", gone).status_code == 200
    scene.revoke(gone)
    assert scene.call("/v1/score", gone).status_code == 401
    assert scene.call("/v1/score", kept).status_code == 200


@pytest.mark.parametrize("lost", ["gone", "empty"])
def test_where_there_were_keys_losing_them_opens_nothing(scene: Scene, lost: str) -> None:
    key = scene.add_key(Role.ADMIN)
    assert scene.call("/v1/score", key).status_code == 200
    if lost == "gone":
        scene.path.unlink()
    else:
        no_keys: list[Key] = []
        change_keys(scene.path, lambda _: no_keys)
    scene.notice()
    assert scene.call("/v1/score").status_code == 401
    assert scene.call("/v1/score", key).status_code == 401
    assert not scene.gate.is_open()


def test_a_file_that_cannot_be_read_changes_nothing_and_is_told(scene: Scene) -> None:
    key = scene.add_key(Role.SCORE)
    assert scene.call("/v1/score", key).status_code == 200
    whole = scene.path.read_bytes()
    scene.path.write_bytes(whole[:-20])
    scene.notice()
    assert scene.call("/v1/score", key).status_code == 200
    assert scene.call("/v1/score").status_code == 401
    assert str(scene.path) in str(scene.gate.problem())
    scene.path.write_bytes(whole)
    scene.notice()
    assert scene.gate.problem() is None


def test_a_file_that_could_not_be_read_at_the_start_opens_nothing(scene: Scene) -> None:
    scene.path.write_text("{}}")
    assert scene.call("/v1/score").status_code == 401
    assert not scene.gate.is_open()


def test_a_file_out_of_reach_is_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("not a folder")
    scene = Scene(tmp_path / "home")
    assert scene.call("/v1/score").status_code == 401
    assert not scene.gate.is_open()
    assert str(scene.path) in str(scene.gate.problem())


def test_the_file_holds_no_secret_and_only_its_owner_reads_it(scene: Scene) -> None:
    key = scene.add_key(Role.SCORE, Role.LABEL)
    _, key_id, secret = key.split("_", 2)
    text = scene.path.read_text()
    assert key_id in text
    assert secret not in text
    assert scene.path.stat().st_mode & 0o777 == 0o600
    assert list(scene.path.parent.iterdir()) == [scene.path]
    [kept] = read_keys(scene.path) or []
    assert kept.roles == {Role.SCORE, Role.LABEL}
    assert kept.is_secret(secret)
    assert not kept.is_secret(secret[:-1])
