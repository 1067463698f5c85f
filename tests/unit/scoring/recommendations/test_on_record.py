"""What was shown is on record, as it was; and whatever was missing is said."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from shared.recommendation.history import history_key
from shared.runtime import metrics
from shared.runtime.clock import SystemClock
from shared.store.base import StoreTimeoutError
from tests.unit.ingest.serving import FaultyBus
from tests.unit.scoring.recommendations.recommending_scene import (
    GOODS,
    RecommendingScene,
    announce,
    goods,
    item_ids,
    recommending_scene,
    register,
)
from tests.unit.scoring.rest_scene import FaultyStore
from tests.unit.scoring.scoring_scene import wait_until


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[RecommendingScene]:
    with recommending_scene(tmp_path) as running:
        yield running


def lost() -> float:
    return metrics.REGISTRY.get_sample_value("headrace_impressions_lost_total") or 0.0


def test_an_impression_says_what_the_answer_said(scene: RecommendingScene) -> None:
    scene.did("u1", ("view", "tent"), ("view", "boots"), ("view", "tent"))
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
    answer = scene.client.get("/v1/recommendations/u1?n=3", headers=headers).json()
    impression = scene.impression_of(answer)
    assert [(each.item_id, each.score) for each in impression.items] == [
        (each["item_id"], each["score"]) for each in answer["items"]
    ]
    assert {each.propensity for each in impression.items} == {1.0}
    assert (impression.user_id, impression.surface, impression.trace_id) == ("u1", "user", trace_id)
    assert impression.recent == ["tent", "boots"]
    assert (impression.model_version, impression.exploration) == (1, None)


def test_an_empty_list_is_not_on_record(scene: RecommendingScene) -> None:
    empty = scene.recommended(exclude=",".join(GOODS))
    scene.impression_of(scene.recommended())
    assert empty["recommendation_id"] not in {each.recommendation_id for each in scene.impressions()}


def test_the_explored_place_is_told_with_the_probability_of_what_stands_there(scene: RecommendingScene) -> None:
    scene.offer(*goods(mitten={"categories": ["wear"]}, yacht={"is_available": False}))
    seen = set()
    for number in range(40):
        answer = scene.post("/v1/recommendations", {"user_id": f"u{number}", "n": 4, "exploration": 1.0}).json()
        exploration = scene.impression_of(answer).exploration
        assert exploration is not None
        shown = answer["items"][exploration.place]
        assert shown["item_id"] == exploration.pool[exploration.chosen]
        assert scene.impression_of(answer).items[exploration.place].propensity == pytest.approx(
            exploration.propensities[exploration.chosen]
        )
        assert sum(exploration.propensities) == pytest.approx(1)
        assert set(exploration.pool) == {"lamp", "socks", "hat", "scarf", "gloves", "mitten"}
        assert (shown["reason"]["code"] == "explored") == (exploration.chosen != 0)
        seen.add(shown["item_id"])
    assert "mitten" in seen, "a new item gets its chance"


def test_what_the_shopper_knows_or_filters_out_is_not_explored_either(scene: RecommendingScene) -> None:
    scene.offer(*goods(mitten={"categories": ["wear"]}, hat={"categories": ["wear"]}, socks={"categories": ["wear"]}))
    scene.did("u1", ("view", "mitten"))
    body = {"user_id": "u1", "n": 1, "exploration": 1.0, "category": "wear"}
    answers = [scene.post("/v1/recommendations", body) for _ in range(20)]
    assert {shown for answer in answers for shown in item_ids(answer)} == {"hat", "socks"}


def test_without_the_store_a_shopper_counts_as_unknown_and_is_told(tmp_path: Path) -> None:
    store = FaultyStore(SystemClock())
    with recommending_scene(tmp_path, store=store) as scene:
        scene.did("u1", ("view", "tent"))
        store.away = True
        answer = scene.recommended(n=1)
        assert (answer["items"][0]["item_id"], answer["degraded"]) == ("tent", ["history"])
        assert scene.get("/v1/items/tent/similar", user_id="u1").json()["degraded"] == []
        store.away = False
        assert scene.recommended(n=1)["degraded"] == []


class SlowStore(FaultyStore):
    """Answers too late whoever has little time."""

    def append_and_read(
        self, appends: Sequence[tuple[str, bytes]], reads: Sequence[str], *, expire_after: timedelta
    ) -> list[bytes]:
        if any(key.startswith("history:") for key in reads):
            raise StoreTimeoutError("not within 0.1 s")
        return super().append_and_read(appends, reads, expire_after=expire_after)


def test_a_slow_store_is_not_waited_for_and_counted(tmp_path: Path) -> None:
    def slow() -> float:
        return metrics.REGISTRY.get_sample_value("headrace_history_misses_total", {"reason": "slow"}) or 0.0

    before = slow()
    with recommending_scene(tmp_path, store=SlowStore(SystemClock())) as scene:
        assert scene.recommended()["degraded"] == ["history"]
    assert slow() == before + 1


def test_a_history_that_cannot_be_read_is_said_to_be_missing(scene: RecommendingScene) -> None:
    scene.store.put(history_key("u1"), b"no record", expire_after=None)
    assert scene.recommended()["degraded"] == ["history"]


def test_while_the_log_is_away_lists_wait_up_to_a_bound_and_then_it_is_said(tmp_path: Path) -> None:
    bus = FaultyBus()
    with recommending_scene(tmp_path, bus=bus, headrace_scoring_impressions_waiting_max=3) as scene:
        bus.away = True
        before = lost()
        answers = [scene.recommended() for _ in range(5)]
        assert [answer["degraded"] for answer in answers] == [[]] * 3 + [["impressions"]] * 2
        assert lost() == before + 2
        wait_until(lambda: "impressions" in scene.service.problems(), "it is told")
        bus.away = False
        for answer in answers[:3]:
            assert scene.impression_of(answer).items
        wait_until(lambda: not scene.service.problems(), "all is well")


def test_impressions_that_the_log_did_not_take_are_counted(tmp_path: Path) -> None:
    bus = FaultyBus()
    with recommending_scene(tmp_path, bus=bus) as scene:
        before = lost()
        bus.losing = True
        scene.recommended()
        wait_until(lambda: lost() == before + 1, "counted")


def test_a_new_model_and_a_canary_take_over_while_it_runs(scene: RecommendingScene, tmp_path: Path) -> None:
    announce(scene.bus, "canaried", register(tmp_path, 2), share=0.5)
    users = [f"u{number}" for number in range(40)]

    def versions() -> list[int]:
        return [scene.recommended(user)["model_version"] for user in users]

    wait_until(lambda: set(versions()) == {1, 2}, "the canary answers some")
    assert versions() == versions()
    announce(scene.bus, "promoted", register(tmp_path, 3))
    wait_until(lambda: 3 in versions(), "the new champion answers the others")
    assert set(versions()) == {2, 3}
