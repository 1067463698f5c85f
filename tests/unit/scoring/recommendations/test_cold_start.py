"""A shop that has just opened shows what it has."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.unit.scoring.recommendations.recommending_scene import RecommendingScene, goods, item_ids, recommending_scene
from tests.unit.scoring.recommendations.shop_events import interaction
from tests.unit.scoring.scoring_scene import wait_until

NEWS = {name: {"categories": ["camp"]} for name in ("tent", "stove", "lamp")}


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[RecommendingScene]:
    with recommending_scene(tmp_path, promoted=False) as running:
        running.offer(*goods(**NEWS, hat={"categories": ["wear"]}, scarf={"is_available": False}))
        yield running


def test_before_anybody_did_anything_the_newest_items_are_shown(scene: RecommendingScene) -> None:
    answer = scene.recommended()
    # The topic is partitioned by item, so which came in last is not told by the order of offering.
    assert {each["item_id"] for each in answer["items"]} == {*NEWS, "hat"}
    assert {(each["reason"]["code"], each["score"]) for each in answer["items"]} == {("new", 0.0)}
    assert (answer["degraded"], answer["model_version"]) == (["model"], 0)
    assert {shown.item_id for shown in scene.impression_of(answer).items} == {*NEWS, "hat"}


def test_what_comes_in_later_is_shown_first(scene: RecommendingScene) -> None:
    scene.offer(*goods(yacht={"categories": ["camp"]}))
    assert scene.shown(n=1) == ["yacht"]
    assert scene.shown(n=1, exclude="yacht") != ["yacht"]


def test_what_is_popular_goes_before_what_is_new(scene: RecommendingScene) -> None:
    scene.happened(interaction("s1", "lamp", at=datetime.now(UTC)))
    wait_until(lambda: item_ids(scene.get("/v1/popular")) == ["lamp"], "the audience knows")
    items = scene.recommended()["items"]
    assert [each["reason"]["code"] for each in items] == ["popular", "new", "new", "new"]
    assert items[0]["item_id"] == "lamp"
    assert scene.shown(n=1) == ["lamp"]


def test_new_items_are_filtered_like_any_other(scene: RecommendingScene) -> None:
    scene.did("u1", ("purchase", "tent"), ("dislike", "stove"))
    assert set(scene.shown()) == {"lamp", "hat"}
    assert scene.shown(category="wear") == ["hat"]
    assert scene.shown(category="camp") == ["lamp"]
    traced = scene.recommended(trace="true")["trace"]
    removed = {each["item_id"]: each["why"] for stage in traced for each in stage["removed"]}
    assert removed["tent"] == "the shopper bought it"


def test_similar_to_a_new_item_are_the_new_ones_of_its_category(scene: RecommendingScene) -> None:
    answer = scene.get("/v1/items/tent/similar")
    assert (set(item_ids(answer)), answer.json()["degraded"]) == ({"stove", "lamp"}, ["model"])
