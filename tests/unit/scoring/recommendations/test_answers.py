"""What a shopper is shown: by history, segment, and what just happened; and why."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.scoring.recommendations.recommending_scene import GOODS, RecommendingScene, item_ids, recommending_scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[RecommendingScene]:
    with recommending_scene(tmp_path) as running:
        yield running


def test_who_is_not_known_sees_what_is_popular(scene: RecommendingScene) -> None:
    answer = scene.recommended("nobody", n=3)
    assert [shown["item_id"] for shown in answer["items"]] == ["tent", "stove", "lamp"]
    assert {shown["reason"]["code"] for shown in answer["items"]} == {"popular"}
    assert (answer["model_name"], answer["model_version"], answer["degraded"]) == ("recommendation", 1, [])
    assert answer["recommendation_id"]


def test_the_segment_decides_what_is_popular_by_profile_or_as_the_caller_says(scene: RecommendingScene) -> None:
    scene.is_in("w", season="winter")
    assert scene.shown("w", n=2) == ["gloves", "scarf"]
    assert scene.shown("nobody", n=2, **{"context.season": "winter"}) == ["gloves", "scarf"]
    assert scene.shown("w", n=2, **{"context.season": "summer"}) == ["tent", "stove"]


def test_a_history_decides_and_says_so_in_words_and_in_shares(scene: RecommendingScene) -> None:
    scene.did("u1", ("view", "hat"), ("view", "tent"), ("purchase", "tent"))
    first = scene.recommended(n=1)["items"][0]
    assert first["item_id"] == "stove"
    reason = first["reason"]
    assert (reason["code"], reason["item_id"]) == ("because", "tent")
    assert reason["text"] == f"because you bought tent ({reason['share']:.0%})"


def test_contributions_add_up_to_the_score_of_every_item(scene: RecommendingScene) -> None:
    scene.did("u1", ("view", "hat"), ("cart", "tent"), ("view", "stove"), ("view", "hat"), ("like", "socks"))
    items = scene.recommended(n=8, explain="true")["items"]
    assert len(items) == 4
    for shown in items:
        added = {each["item_id"]: each["contribution"] for each in shown["contributions"]}
        assert sum(added.values()) == pytest.approx(shown["score"], rel=1e-5)
        assert None in added
        assert set(added) - {None} <= {"hat", "tent", "stove", "socks"}
        because = shown["reason"].get("item_id")
        if because is not None:
            assert added[because] == max(value for item_id, value in added.items() if item_id is not None)


def test_what_was_seen_bought_or_disliked_is_not_shown_again(scene: RecommendingScene) -> None:
    scene.did("u1", ("view", "tent"), ("purchase", "stove"), ("dislike", "lamp"))
    assert set(scene.shown(n=8)) == set(GOODS) - {"tent", "stove", "lamp"}
    again = scene.post("/v1/recommendations", {"user_id": "u1", "n": 8, "exclude_seen": False})
    assert set(item_ids(again)) == set(GOODS) - {"stove", "lamp"}
    everything = {"user_id": "u1", "n": 8, "exclude_seen": False, "exclude_bought": False}
    assert set(item_ids(scene.post("/v1/recommendations", everything))) == set(GOODS) - {"lamp"}


def test_what_is_disliked_speaks_for_nothing(scene: RecommendingScene) -> None:
    scene.did("u1", ("dislike", "socks"))
    assert scene.shown(n=1) == ["tent"]


def test_the_next_answer_knows_the_last_click(scene: RecommendingScene) -> None:
    assert scene.shown(n=1) == ["tent"]
    scene.did("u1", ("view", "boots"))
    assert scene.shown(n=1) == ["socks"]
    scene.did("u1", ("view", "socks"))
    assert scene.shown(n=1) == ["hat"]


def test_a_session_is_served_by_what_it_says_it_looked_at(scene: RecommendingScene) -> None:
    body = {"session_id": "s1", "n": 2, "recent": ["boots", {"item_id": "tent", "kind": "purchase"}], "explain": True}
    answer = scene.post("/v1/recommendations", body)
    shown = answer.json()["items"]
    assert not {"boots", "tent"} & set(item_ids(answer))
    assert {"because you viewed boots", "because you bought tent"} >= {
        each["reason"]["text"].rpartition(" (")[0] for each in shown
    }
    assert item_ids(scene.post("/v1/recommendations", {})) == list(GOODS)


def test_what_the_caller_knows_goes_before_what_is_stored(scene: RecommendingScene) -> None:
    scene.did("u1", ("view", "tent"))
    assert scene.shown(n=1) == ["stove"]
    answer = scene.post("/v1/recommendations", {"user_id": "u1", "n": 2, "recent": ["socks"]})
    assert item_ids(answer)[0] == "hat"


def test_an_interaction_dated_ahead_counts_as_one_of_now(scene: RecommendingScene) -> None:
    scene.did("u1", ("view", "socks"), at=datetime.now(UTC) + timedelta(days=365))
    assert scene.shown(n=8)[0] == "hat"


def test_a_robots_endless_history_is_served_like_any_other(scene: RecommendingScene) -> None:
    scene.did("robot", *((("view", GOODS[number % 2])) for number in range(20_000)))
    assert set(scene.shown("robot", n=8)) == set(GOODS[2:])


@pytest.mark.parametrize("user_id", ["a%2Fb", "%C3%A4%20%F0%9F%8E%92", "x" * 128])
def test_any_id_can_be_asked_about(scene: RecommendingScene, user_id: str) -> None:
    assert len(scene.shown(user_id, n=8)) == 8
