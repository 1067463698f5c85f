"""Whatever is asked wrongly, or of what is not there, has a defined answer that tells what to do."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.unit.scoring.recommendations.recommending_scene import (
    GOODS,
    RecommendingScene,
    goods,
    item_ids,
    recommending_scene,
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecommendingScene]:
    with recommending_scene(tmp_path_factory.mktemp("home"), headrace_scoring_recommendation_bytes_max=10_000) as asked:
        yield asked


def problem(answer: Any, status: int) -> dict[str, str]:
    assert answer.status_code == status, answer.text
    told: dict[str, str] = answer.json()["error"]
    return told


@pytest.mark.parametrize(
    ("parameters", "field", "hint"),
    [
        ({"n": "0"}, "n", "1 to 500"),
        ({"n": "1000000"}, "n", "1 to 500"),
        ({"n": "many"}, "n", "1 to 500"),
        ({"limit": "3"}, "limit", "Known fields: n, "),
        ({"filter": "brand"}, "filter", "filter=brand:acme"),
        ({"filter": "price>=cheap"}, "filter", "filter=price>=10"),
        ({"filter": ":acme"}, "filter", "filter=brand:acme"),
        ({"diversity": "2"}, "diversity", "0 ranks by score alone"),
        ({"exploration": "-1"}, "exploration", "How often"),
        ({"category": ""}, "category", "1 to 128 characters"),
        ({"n": ["1", "2"]}, "n", "once"),
        ({"context": "phone"}, "context", "context.NAME=VALUE"),
    ],
)
def test_a_parameter_that_is_wrong_is_named_with_what_to_send(
    scene: RecommendingScene, parameters: dict[str, Any], field: str, hint: str
) -> None:
    told = problem(scene.get("/v1/recommendations/u1", **parameters), 422)
    assert told["field"] == field
    assert hint in told["hint"]


@pytest.mark.parametrize("user_id", ["x" * 129, "a%00b"])
def test_what_is_no_id_is_refused(scene: RecommendingScene, user_id: str) -> None:
    assert problem(scene.get(f"/v1/recommendations/{user_id}"), 422)["field"] == "user_id"


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"n": 0}, 422, "n"),
        ({"user": "u1"}, 422, "user"),
        ({"recent": [{"item_id": "tent", "kind": "stolen"}]}, 422, "recent[0].kind"),
        ({"boosts": [{"when": {"attribute": "brand"}, "factor": -1}]}, 422, "boosts[0].factor"),
        ({"per_category_max": 0}, 422, "per_category_max"),
        ({"recent": ["x" * 100] * 100}, 413, None),
    ],
)
def test_a_body_that_is_wrong_is_named_too(scene: RecommendingScene, body: Any, status: int, field: str | None) -> None:
    assert problem(scene.post("/v1/recommendations", body), status).get("field") == field


@pytest.mark.parametrize("path", ["/v1/recommendations", "/v1/rank"])
def test_a_query_beside_a_body_is_not_ignored(scene: RecommendingScene, path: str) -> None:
    told = problem(scene.post(f"{path}?n=3", {"items": ["tent"]}), 422)
    assert (told["message"], told["hint"]) == ("n=3 is not understood", "Send it in the body, and no query.")


def test_what_is_no_json_is_refused(scene: RecommendingScene) -> None:
    assert problem(scene.client.post("/v1/rank", content=b"tent"), 400)["code"] == "not_json"


@pytest.mark.parametrize("items", [[], [f"item-{n}" for n in range(501)]])
def test_only_some_items_can_be_ranked_at_once(scene: RecommendingScene, items: list[str]) -> None:
    told = problem(scene.post("/v1/rank", {"items": items}), 422)
    assert (told["field"], "1 to 500" in told["hint"]) == ("items", True)


def test_nothing_is_like_an_item_of_which_nobody_knows(scene: RecommendingScene) -> None:
    told = problem(scene.get("/v1/items/yacht/similar"), 404)
    assert told["code"] == "unknown_item"
    assert "PUT /v1/items/{item_id}" in told["hint"]


def test_unknown_items_in_a_session_are_passed_over_and_named(scene: RecommendingScene) -> None:
    body = {"recent": ["yacht", "boots"], "exclude": ["yacht"], "n": 1, "trace": True}
    answer = scene.post("/v1/recommendations", body)
    assert item_ids(answer) == ["socks"]
    history = next(stage for stage in answer.json()["trace"] if stage["name"] == "history")
    assert history["kept"] == 1
    assert history["removed"] == [{"item_id": "yacht", "why": "the model does not know it"}]


def test_who_excludes_everything_gets_nothing_and_the_trace_says_why(scene: RecommendingScene) -> None:
    answer = scene.recommended(exclude=",".join(GOODS), trace="true")
    assert answer["items"] == []
    excluded = next(stage for stage in answer["trace"] if stage["name"] == "excluded")
    assert (excluded["kept"], excluded["removed_total"]) == (0, len(GOODS))
    assert {each["why"] for each in excluded["removed"]} == {"the request excludes it"}


def test_a_filter_on_what_no_item_has_gives_nothing_and_says_so(scene: RecommendingScene) -> None:
    scene.offer(*goods(tent={"attributes": {"brand": "acme"}, "categories": ["outdoor"]}))
    answer = scene.recommended(filter=["colour:red", "brand:acme"], category="garden")
    assert answer["items"] == []
    assert answer["notes"] == [
        "no item that may be shown has the attribute colour",
        "no item that may be shown is in the category garden",
    ]
    assert "notes" not in scene.recommended(filter="brand:other")
    assert scene.shown(filter="brand:acme") == ["tent"]


@pytest.mark.parametrize("path", ["/v1/recommendations", "/v1/recommendations/", "/v1/recommendations/a/b"])
def test_there_is_nothing_beside_the_paths(scene: RecommendingScene, path: str) -> None:
    assert scene.get(path).status_code in {404, 405}
