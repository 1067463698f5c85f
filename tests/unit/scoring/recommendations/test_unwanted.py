"""What a shopper bought or dislikes, and what the shop does not offer, is in no list, by whatever way items get there."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.recommendation.history import KINDS
from tests.unit.scoring.recommendations.recommending_scene import (
    GOODS,
    RecommendingScene,
    goods,
    item_ids,
    recommending_scene,
)
from tests.unit.scoring.recommendations.shop_events import interaction
from tests.unit.scoring.scoring_scene import wait_until

NEW = ("yacht", "canoe", "kite")
"""In the catalogue, and unknown to the model."""
GONE = {"lamp", "hat", "raft", "kayak"}
ALL = [*GOODS, *NEW, *sorted(GONE - set(GOODS))]
POPULAR = ("hat", "tent", "yacht", "raft", "stove", "atlas")
"""Atlas is in no catalogue and unknown to the model."""
_NUMBERS = count()

items = st.sampled_from([*ALL, "atlas"])
histories = st.lists(st.tuples(st.sampled_from(KINDS), items), max_size=12)
rules = st.fixed_dictionaries(
    {"n": st.integers(1, 12)},
    optional={
        "exclude_seen": st.booleans(),
        "exclude": st.lists(items, max_size=3),
        "category": st.sampled_from(["camp", "wear"]),
        "boosts": st.lists(
            st.builds(
                lambda item_id, factor: {"when": {"attribute": "item_id", "any_of": [item_id]}, "factor": factor},
                items,
                st.sampled_from([0.0, 5.0]),
            ),
            max_size=2,
        ),
        "per_category_max": st.integers(1, 3),
        "diversity": st.sampled_from([0.0, 0.5, 1.0]),
        "exploration": st.sampled_from([0.5, 1.0]),
    },
)


@pytest.fixture(scope="module", params=[True, False], ids=["model", "no model"])
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecommendingScene]:
    with recommending_scene(tmp_path_factory.mktemp("home"), promoted=request.param) as running:
        said = {name: {"categories": ["camp" if at % 2 else "wear"]} for at, name in enumerate(ALL)}
        gone = {"lamp": {"is_deleted": True}, "raft": {"is_deleted": True}}
        gone |= {"hat": {"is_available": False}, "kayak": {"is_available": False}}
        running.offer(*goods(**(said | gone)))
        now = datetime.now(UTC)
        running.happened(*(interaction(f"s{number}", name, at=now) for number, name in enumerate(POPULAR)))
        wait_until(lambda: len(item_ids(running.get("/v1/popular"))) == len(set(POPULAR) - GONE), "the audience knows")
        yield running


def unwanted(done: list[tuple[str, str]], asked: dict[str, Any]) -> set[str]:
    kinds = ("purchase", "dislike", *(KINDS if asked.get("exclude_seen", True) else ()))
    return GONE | {item_id for kind, item_id in done if kind in kinds} | set(asked.get("exclude", []))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, recent=histories, asked=rules, is_known=st.booleans())
def test_it_is_in_no_list_for_a_shopper_or_a_session(
    scene: RecommendingScene,
    history: list[tuple[str, str]],
    recent: list[tuple[str, str]],
    asked: dict[str, Any],
    is_known: bool,
) -> None:
    name = f"shopper-{next(_NUMBERS)}"
    who = {"user_id" if is_known else "session_id": name}
    now = [{"item_id": item_id, "kind": kind} for kind, item_id in recent]
    scene.did(name, *history)
    shown = item_ids(scene.post("/v1/recommendations", {**asked, **who, "recent": now}))
    assert not set(shown) & unwanted([*(history if is_known else []), *recent], asked)
    assert len(shown) == len(set(shown))


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories)
def test_pages_that_are_the_same_for_all_hold_nothing_that_the_shop_does_not_offer(
    scene: RecommendingScene, history: list[tuple[str, str]]
) -> None:
    name = f"shopper-{next(_NUMBERS)}"
    scene.did(name, *history)
    for path in ("/v1/popular", "/v1/trending", "/v1/items/tent/similar", "/v1/items/yacht/similar"):
        answer = scene.get(path, n=20)
        assert not set(item_ids(answer)) & GONE
        assert scene.get(path, n=20, user_id=name).json()["items"] == answer.json()["items"]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, asked=st.lists(items, min_size=1, max_size=8, unique=True))
def test_of_the_callers_own_items_only_those_are_left_out_that_the_shop_does_not_offer(
    scene: RecommendingScene, history: list[tuple[str, str]], asked: list[str]
) -> None:
    name = f"shopper-{next(_NUMBERS)}"
    scene.did(name, *history)
    answer = scene.post("/v1/rank", {"user_id": name, "items": asked})
    assert sorted(item_ids(answer)) == sorted(set(asked) - GONE)
