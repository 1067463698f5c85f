"""The shop's rules in an answer: what is offered, filters, boosts, caps, diversity, policies, experiments."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.scoring.policy.publishing import Author, publication
from services.scoring.recommendations.policy.policy import RECOMMENDATIONS
from shared.bus.chained_log import ChainedLog
from shared.contracts.events import PolicyEvent
from shared.contracts.topics import POLICIES
from tests.unit.scoring.recommendations.recommending_scene import (
    GOODS,
    RecommendingScene,
    goods,
    item_ids,
    recommending_scene,
)
from tests.unit.scoring.scoring_scene import wait_until


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[RecommendingScene]:
    with recommending_scene(tmp_path) as running:
        yield running


def test_what_is_not_offered_is_never_shown_and_comes_back_when_it_is(scene: RecommendingScene) -> None:
    now = datetime.now(UTC)
    scene.offer(
        *goods(
            tent={"is_available": False},
            stove={"available_from": now + timedelta(hours=1)},
            lamp={"expires_at": now - timedelta(seconds=1)},
            boots={"is_deleted": True},
        )
    )
    assert scene.shown(n=8) == ["socks", "hat", "scarf", "gloves"]
    ranked = item_ids(scene.post("/v1/rank", {"items": ["boots", "gloves", "tent", "hat"]}))
    assert ranked == ["hat", "gloves"]
    scene.did("u1", ("view", "boots"))
    assert "boots" not in scene.shown(n=8)
    scene.offer(*goods(tent={"is_available": True}))
    assert "tent" in scene.shown(n=8)


def test_filters_and_categories_leave_what_meets_all_of_them(scene: RecommendingScene) -> None:
    scene.offer(
        *goods(
            tent={"categories": ["camp"], "attributes": {"brand": "acme", "price": 200.0}},
            stove={"categories": ["camp", "kitchen"], "attributes": {"brand": "acme", "price": 40.0}},
            lamp={"categories": ["camp"], "attributes": {"brand": "other", "price": 20.0}},
            boots={"categories": ["shoes"], "attributes": {"brand": "acme", "price": 90.0}},
        )
    )
    assert scene.shown(category="camp") == ["tent", "stove", "lamp"]
    assert scene.shown(category="kitchen") == ["stove"]
    assert scene.shown(filter="brand:acme") == ["tent", "stove", "boots"]
    assert scene.shown(filter=["brand:acme", "price>=50", "price<=100"]) == ["boots"]
    body = {"filters": [{"attribute": "brand", "any_of": ["acme"], "is_not": True}]}
    assert item_ids(scene.post("/v1/recommendations", body)) == ["lamp"]
    assert item_ids(scene.get("/v1/items/gloves/similar", category="camp")) == ["tent", "stove", "lamp"]


def test_boosts_caps_and_diversity_change_the_order_and_the_trace_tells(scene: RecommendingScene) -> None:
    scene.offer(*goods(**{name: {"categories": ["camp" if name in GOODS[:4] else "wear"]} for name in GOODS}))
    body = {
        "n": 4,
        "per_category_max": 2,
        "boosts": [{"when": {"attribute": "item_id", "any_of": ["gloves", "scarf"]}, "factor": 100}],
        "trace": True,
    }
    answer = scene.post("/v1/recommendations", body).json()
    shown = [each["item_id"] for each in answer["items"]]
    assert shown == ["scarf", "tent", "stove", "socks"]
    stages = {stage["name"]: stage for stage in answer["trace"]}
    assert stages["boosts"]["moved_total"] == 1
    diverse = item_ids(scene.post("/v1/recommendations", {"n": 4, "diversity": 1.0}))
    assert set(diverse[:2]) & {"tent", "stove", "lamp", "boots"}
    assert set(diverse[:2]) & {"socks", "hat", "scarf", "gloves"}


POLICY = """
merchandising:
  per_category_max: 1
experiment:
  name: more_tents
  arms:
    - name: all
      share: 1.0
      changes:
        filters: [{attribute: item_id, any_of: [tent, stove]}]
"""


def test_the_policy_decides_and_an_arm_of_its_experiment_changes_it(scene: RecommendingScene) -> None:
    author = Author("ada", "more tents", datetime.now(UTC))
    log = ChainedLog(scene.bus, POLICIES, PolicyEvent)
    log.append(lambda history: [publication(history, POLICY, author, RECOMMENDATIONS)])
    wait_until(lambda: scene.recommended()["policy_version"] == 1, "the policy is in force")
    answer = scene.recommended()
    assert (answer["experiment"], answer["arm"]) == ("more_tents", "all")
    assert [shown["item_id"] for shown in answer["items"]] == ["tent", "stove"]
    impression = scene.impression_of(answer)
    assert (impression.experiment, impression.arm, impression.policy_version) == ("more_tents", "all", 1)
