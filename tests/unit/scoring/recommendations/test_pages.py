"""Pages that are not one shopper's: similar items, what is popular, what is trending; and the caller's own items."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.scoring.recommendations.recommending_scene import (
    RecommendingScene,
    goods,
    item_ids,
    recommending_scene,
)
from tests.unit.scoring.recommendations.shop_events import interaction
from tests.unit.scoring.scoring_scene import wait_until

WANTED = ("gloves", "scarf", "yacht")
"""By how many shoppers: 6, 4, 2."""


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[RecommendingScene]:
    with recommending_scene(tmp_path) as running:
        yield running


def make_popular(scene: RecommendingScene, *, at: datetime | None = None) -> None:
    now = at or datetime.now(UTC)
    shoppers = [(item_id, number) for rank, item_id in enumerate(WANTED) for number in range(6 - 2 * rank)]
    scene.happened(*(interaction(f"s{number}", item_id, at=now) for item_id, number in shoppers))
    wait_until(lambda: len(item_ids(scene.get("/v1/popular"))) == len(WANTED), "the audience knows")


def test_similar_items_are_those_that_follow_whatever_is_popular(scene: RecommendingScene) -> None:
    answer = scene.get("/v1/items/scarf/similar", n=3, explain="true")
    assert item_ids(answer) == ["gloves", "tent", "stove"]
    first = answer.json()["items"][0]
    assert first["reason"] == {"code": "similar", "text": "similar to scarf", "item_id": "scarf", "share": 1.0}
    assert sum(each["contribution"] for each in first["contributions"]) == pytest.approx(first["score"])
    assert "scarf" not in item_ids(scene.get("/v1/items/scarf/similar", n=8))


def test_an_item_that_only_the_catalogue_knows_is_like_what_is_popular_in_its_category(
    scene: RecommendingScene,
) -> None:
    make_popular(scene)
    scene.offer(
        *goods(mitten={"categories": ["wear"]}, scarf={"categories": ["wear"]}, gloves={"categories": ["wear"]})
    )
    answer = scene.get("/v1/items/mitten/similar")
    assert item_ids(answer) == ["gloves", "scarf"]
    assert answer.json()["degraded"] == ["item"]


def test_what_is_popular_is_what_shoppers_did_lately(scene: RecommendingScene) -> None:
    assert item_ids(scene.get("/v1/popular")) == []
    make_popular(scene)
    answer = scene.get("/v1/popular", n=2)
    assert item_ids(answer) == ["gloves", "scarf"]
    assert {each["reason"]["code"] for each in answer.json()["items"]} == {"popular"}
    scene.offer(*goods(gloves={"is_deleted": True}, scarf={"categories": ["wear"]}))
    assert item_ids(scene.get("/v1/popular")) == ["scarf", "yacht"]
    assert item_ids(scene.get("/v1/popular", category="wear")) == ["scarf"]


def test_what_is_trending_is_asked_for_more_than_before(scene: RecommendingScene) -> None:
    days_ago = [datetime.now(UTC) - timedelta(days=day) for day in range(1, 6)]
    scene.happened(*(interaction(f"s{n}", "tent", at=at) for at in days_ago for n in range(30)))
    scene.happened(*(interaction(f"s{n}", "hat", at=datetime.now(UTC)) for n in range(30)))
    wait_until(lambda: item_ids(scene.get("/v1/trending")) == ["hat"], "the hat trends")
    assert scene.get("/v1/trending").json()["items"][0]["reason"]["code"] == "trending"
    assert item_ids(scene.get("/v1/popular"))[0] == "tent"


def test_the_callers_own_items_are_put_in_order_and_none_is_lost(scene: RecommendingScene) -> None:
    scene.did("u1", ("view", "boots"), ("purchase", "hat"))
    body = {"user_id": "u1", "items": ["yacht", "tent", "hat", "socks", "gloves"], "trace": True}
    answer = scene.post("/v1/rank", body)
    assert item_ids(answer) == ["gloves", "socks", "tent", "hat", "yacht"]
    shown = answer.json()["items"]
    assert [each["score"] for each in shown] == sorted((each["score"] for each in shown), reverse=True)
    assert shown[-1]["reason"]["code"] == "new"
    unknown = next(stage for stage in answer.json()["trace"] if stage["name"] == "unknown")
    assert [each["item_id"] for each in unknown["moved"]] == ["yacht"]
    assert item_ids(scene.post("/v1/rank", {"items": ["hat", "tent"], "recent": ["socks"]})) == ["hat", "tent"]


def test_a_page_is_on_record_under_the_shopper_the_session_or_itself(scene: RecommendingScene) -> None:
    make_popular(scene)
    for parameters, expected in (({"user_id": "u1"}, "u1"), ({"session_id": "s1"}, "s1"), ({}, None)):
        answer = scene.get("/v1/popular", **parameters).json()
        impression = scene.impression_of(answer)
        assert impression.user_id == (expected or answer["recommendation_id"])
        assert (impression.surface, impression.model_version) == ("popular", 0)


def test_before_there_is_a_model_everybody_sees_what_is_popular_and_is_told(tmp_path: Path) -> None:
    with recommending_scene(tmp_path, promoted=False) as scene:
        assert scene.recommended()["items"] == []
        make_popular(scene)
        scene.did("u1", ("purchase", "gloves"))
        answer = scene.recommended()
        assert [each["item_id"] for each in answer["items"]] == ["scarf", "yacht"]
        assert (answer["degraded"], answer["model_version"]) == (["model"], 0)
        assert scene.impression_of(answer).model_version == 0
        assert scene.shown(exclude="yacht") == ["scarf"]
        assert item_ids(scene.post("/v1/rank", {"items": ["tent", "scarf", "gloves"]})) == ["gloves", "scarf", "tent"]
        scene.offer(*goods(tent={"categories": ["camp"]}))
        similar = scene.get("/v1/items/tent/similar")
        assert (item_ids(similar), similar.json()["degraded"]) == ([], ["model"])
