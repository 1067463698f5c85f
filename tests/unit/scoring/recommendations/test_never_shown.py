"""Whatever happened and whatever is asked: a list holds only what may be shown, each item once, and no fewer than it could."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.training.recommendation.recommender import scores_of
from shared.recommendation.history import KINDS
from tests.unit.scoring.recommendations.recommending_scene import (
    GOODS,
    RecommendingScene,
    goods,
    recommending_scene,
    small_recommender,
)

CAMP = set(GOODS[:5])
GONE = {"lamp", "hat"}
_NUMBERS = count()

histories = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from([*GOODS, "yacht"])), max_size=12)
questions = st.fixed_dictionaries(
    {"n": st.integers(1, 10)},
    optional={
        "category": st.just("camp"),
        "exclude": st.lists(st.sampled_from(GOODS), max_size=4),
        "exclude_seen": st.booleans(),
        "exclude_bought": st.booleans(),
        "diversity": st.sampled_from([0.0, 0.4, 1.0]),
        "exploration": st.sampled_from([0.0, 0.5, 1.0]),
        "recent": st.lists(st.sampled_from([*GOODS, "yacht"]), max_size=3),
        "explain": st.just(True),
    },
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecommendingScene]:
    with recommending_scene(tmp_path_factory.mktemp("home")) as running:
        running.offer(
            *goods(
                **{name: {"categories": ["camp"]} for name in sorted(CAMP - GONE)},
                lamp={"is_deleted": True},
                hat={"is_available": False},
            )
        )
        yield running


def allowed(history: list[tuple[str, str]], asked: dict[str, Any]) -> set[str]:
    """The slow way: what may be shown, item by item."""
    recent = [("view", item_id) for item_id in asked.get("recent", [])]
    done = [*history, *recent]
    left = set(GOODS) - GONE - set(asked.get("exclude", []))
    left -= {item_id for kind, item_id in done if kind == "dislike"}
    if asked.get("exclude_seen", True):
        left -= {item_id for _, item_id in done}
    if asked.get("exclude_bought", True):
        left -= {item_id for kind, item_id in done if kind == "purchase"}
    return left & CAMP if "category" in asked else left


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories, asked=questions)
def test_a_list_is_as_long_as_it_can_be_and_holds_nothing_else(
    scene: RecommendingScene, history: list[tuple[str, str]], asked: dict[str, Any]
) -> None:
    user_id = f"shopper-{next(_NUMBERS)}"
    scene.did(user_id, *history)
    answer = scene.post("/v1/recommendations", {"user_id": user_id, **asked})
    assert answer.status_code == 200, answer.text
    items = answer.json()["items"]
    shown = [each["item_id"] for each in items]
    may_be_shown = allowed(history, asked)
    assert set(shown) <= may_be_shown
    assert len(shown) == len(set(shown)) == min(asked["n"], len(may_be_shown))
    for each in items:
        if "contributions" in each:
            assert sum(part["contribution"] for part in each["contributions"]) == pytest.approx(each["score"], rel=1e-5)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories)
def test_the_order_is_that_of_the_slow_way_to_the_scores(
    scene: RecommendingScene, history: list[tuple[str, str]]
) -> None:
    user_id = f"shopper-{next(_NUMBERS)}"
    scene.did(user_id, *history)
    answer = scene.post("/v1/recommendations", {"user_id": user_id, "n": 10}).json()
    recommender = small_recommender()
    counted = [(GOODS.index(item), kind) for kind, item in reversed(history) if item in GOODS and kind != "dislike"]
    scores = scores_of(
        recommender,
        np.array([item for item, _ in counted], dtype=np.int64),
        np.array([recommender.kind_weights[kind] for _, kind in counted]),
    )
    expected = sorted(allowed(history, {}), key=lambda item_id: -scores[GOODS.index(item_id)])
    assert [each["item_id"] for each in answer["items"]] == expected
    assert [each["score"] for each in answer["items"]] == pytest.approx(
        [scores[GOODS.index(item_id)] for item_id in expected], rel=1e-5
    )
