"""Recommenders whose lists are clicked less: what the drift service tells, and what it keeps in memory."""

import math
import random
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from services.drift.evidence import Budget
from services.drift.recommendation.click_through import CLICK_THROUGH, ClickThrough
from services.drift.recommendation.clicks import Impressions, Shown
from services.drift.recommendation.watch import SHARES
from services.drift.settings import DriftSettings
from shared.contracts.events import ModelEvent
from shared.contracts.shopping import Interaction
from shared.runtime import metrics
from tests.events import START
from tests.unit.drift.click_scene import (
    FIRST_LISTS,
    SETTINGS,
    WINDOW_SECONDS,
    Shop,
    click,
    impression,
    reco_promotion,
)
from tests.unit.drift.drift_scene import alarms, promotion, requests


def statistic(signal: str) -> float:
    return float(metrics.DRIFT_STATISTIC.labels("recommendation", signal)._value.get())


def test_a_fall_of_click_through_raises_an_alarm_and_asks_for_a_new_recommender() -> None:
    shop = Shop()
    shop.feed([reco_promotion(3)])
    assert shop.lists(FIRST_LISTS + 200, 0.4, version=3) == []
    assert statistic("click_through") == pytest.approx(0.4, abs=0.05)
    answers = shop.lists(600, 0.15, version=3)
    alarm, request = alarms(answers)[0], requests(answers)[0]
    assert (alarm.model_name, alarm.model_version, alarm.signal) == ("recommendation", 3, "click_through")
    assert alarm.statistic >= alarm.threshold
    assert "lists that model recommendation 3 chose" in alarm.explanation
    assert (request.model_name, request.requested_by, request.reason) == (
        "recommendation",
        "drift",
        alarm.explanation,
    )
    assert len(requests(answers)) == 1, "the cool-down holds"


def test_asks_again_when_training_does_not_answer() -> None:
    shop = Shop(headrace_drift_cooldown_seconds=60, headrace_drift_answer_seconds_max=600)
    shop.feed([reco_promotion()])
    shop.lists(FIRST_LISTS, 0.4)
    assert len(requests(shop.lists(600, 0.1))) == 1
    shop.clock.advance(timedelta(seconds=599))
    assert requests(shop.lists(600, 0.1)) == [], "it may answer yet"
    shop.clock.advance(timedelta(seconds=1))
    assert len(requests(shop.lists(600, 0.1))) == 1


def test_a_click_through_that_holds_is_left_alone() -> None:
    shop = Shop()
    shop.feed([reco_promotion()])
    assert shop.lists(3_000, 0.3) == []


def test_a_new_version_is_held_against_its_own_first_lists() -> None:
    shop = Shop()
    shop.feed([reco_promotion(1)])
    shop.lists(FIRST_LISTS, 0.5)
    shop.feed([reco_promotion(2)])
    assert shop.lists(FIRST_LISTS, 0.0, version=1) == [], "chosen by the version before"
    assert shop.lists(2 * FIRST_LISTS, 0.2, version=2) == []
    answers = shop.lists(2 * FIRST_LISTS, 0.05, version=2)
    assert {alarm.model_version for alarm in alarms(answers)} == {2}


@pytest.mark.parametrize(
    "event", [reco_promotion(2, action="shadowed"), reco_promotion(1), promotion(2)], ids=["shadow", "again", "fraud"]
)
def test_what_puts_no_other_recommender_in_force_changes_nothing(event: ModelEvent) -> None:
    shop = Shop()
    shop.feed([reco_promotion(1)])
    shop.lists(FIRST_LISTS, 0.5)
    assert shop.feed([event]) == []
    [alarm] = alarms(shop.lists(FIRST_LISTS, 0.1))
    assert alarm.model_version == 1


@pytest.mark.parametrize("fields", [{"surface": "popular"}, {"model_version": 0}, {"model_name": "other"}])
def test_lists_that_the_recommender_did_not_choose_for_one_shopper_do_not_count(fields: dict[str, Any]) -> None:
    shop = Shop()
    shop.feed([reco_promotion(1)])
    shop.lists(FIRST_LISTS, 0.5)
    assert shop.lists(600, 0.0, **fields) == []


def test_without_any_click_there_is_no_level_that_could_fall() -> None:
    shop = Shop()
    shop.feed([reco_promotion(1)])
    assert shop.lists(3 * FIRST_LISTS, 0.0) == []


def test_the_level_is_not_settled_before_it_covers_the_hours_that_are_set() -> None:
    shop = Shop(headrace_drift_baseline_hours=0.5)
    shop.feed([reco_promotion(1)])
    shop.lists(FIRST_LISTS + 100, 0.5)  # a list a second: 500 of 1,800 seconds
    assert shop.lists(600, 0.1) == [], "still learning what is usual"


def test_a_batch_that_comes_again_gives_the_same_answer_and_counts_once() -> None:
    shop = Shop()
    shop.feed([reco_promotion(1)])
    shop.lists(FIRST_LISTS, 0.5)
    batch = shop.deliveries([impression(10_000 + number) for number in range(200)])
    shop.now_ms += WINDOW_SECONDS * 1000
    batch += shop.deliveries([click(-1, recommendation_id=None)])
    answer = shop.monitor(batch)
    assert len(answer) == 2
    assert shop.monitor(batch) == answer
    assert [*shop.monitor(batch[:50]), *shop.monitor(batch[50:])] == answer


def test_the_share_of_what_shoppers_turn_to_that_was_in_their_last_list_is_shown() -> None:
    shop = Shop()
    shop.feed([impression(1, user_id="a"), impression(2, user_id="a", items=impression(2).items[:1])])
    shop.feed([click(3, user_id="a", item_id="item-0"), click(4, user_id="a", item_id="item-3")])
    shop.feed([click(5, user_id="never shown a list"), click(6, user_id="a", item_id="item-9", kind="dislike")])
    assert statistic("shown_share") == 0.5


def joined(*, remembered_max: int = 10) -> Impressions:
    return Impressions(click_window=timedelta(seconds=WINDOW_SECONDS), remembered_max=remembered_max)


@pytest.mark.parametrize(
    ("interaction", "is_click"),
    [
        (click(1), True),
        (click(1, kind="purchase"), True),
        (click(1, kind="dislike"), False),
        (click(1, item_id="not in the list"), False),
        (click(2), False),
        (click(1, recommendation_id=None), False),
    ],
)
@pytest.mark.parametrize("click_first", [False, True])
def test_a_click_names_a_list_and_an_item_of_it_and_may_come_first(
    interaction: Interaction, *, is_click: bool, click_first: bool
) -> None:
    join = joined()
    if click_first:
        join.click(interaction, 1)
    join.show(impression(1), 2)
    if not click_first:
        join.click(interaction, 3)
    assert join.over(2 + 1000 * WINDOW_SECONDS) == []
    assert [shown.is_clicked for shown in join.over(3 + 1000 * WINDOW_SECONDS)] == [is_click]


def test_a_list_that_comes_twice_counts_once_and_a_click_on_it_after_its_time_changes_nothing() -> None:
    join = joined()
    assert join.show(impression(1), 1)
    assert join.show(impression(1), 2)
    assert len(join.over(2_000 * WINDOW_SECONDS)) == 1
    join.click(click(1), 2_000 * WINDOW_SECONDS)
    assert join.over(10_000 * WINDOW_SECONDS) == []


def test_what_waits_is_bounded_and_what_had_no_room_is_not_counted_whether_clicked_or_not() -> None:
    join = joined(remembered_max=3)
    for number in range(100):
        join.click(click(number), 1)
    assert [join.show(impression(number), 2) for number in range(5)] == [True, True, True, False, False]
    assert len(join._early) <= 3
    assert [shown.is_clicked for shown in join.over(10**9)] == [True, True, True]
    assert join.show(impression(6), 10**9), "there is room again"


def watched(**settings: Any) -> ClickThrough:
    return ClickThrough(
        1, DriftSettings(**(SETTINGS | settings)), threshold_days=Budget(1.0).threshold_days(SHARES[CLICK_THROUGH])
    )


def lists(seed: int, share: Callable[[datetime], float], *, days: float, a_day: int) -> Iterator[Shown]:
    """Yield lists that are clicked as often as `share` says for their time, at random."""
    chance = random.Random(seed)
    for number in range(int(days * a_day)):
        at = START + timedelta(days=number / a_day)
        yield Shown(1, at, 0, frozenset({"item"}), is_clicked=chance.random() < share(at))


def until_noticed(watch: ClickThrough, shown: Iterable[Shown]) -> int | None:
    """Return after how many lists a fall is found; None when none is."""
    for number, each in enumerate(shown, 1):
        watch.observe(each)
        if number % 10 == 0 and watch.findings():
            return number
    return None


@pytest.mark.parametrize(("fallen_to", "lists_max"), [(0.5, 600), (0.1, 200)])
def test_the_deeper_the_fall_the_sooner_it_is_noticed(fallen_to: float, lists_max: int) -> None:
    noticed = []
    for seed in range(5):
        watch = watched(headrace_drift_baseline_lists=1_000)
        assert until_noticed(watch, lists(seed, lambda _: 0.2, days=1, a_day=1_000)) is None
        noticed.append(until_noticed(watch, lists(seed, lambda _: 0.2 * fallen_to, days=1, a_day=1_000)) or 10**6)
    assert sorted(noticed)[2] <= lists_max


@pytest.mark.parametrize("hourly", [0.0, 0.5], ids=["even", "day and night"])
def test_nights_and_weekends_on_which_less_is_clicked_are_no_fall(hourly: float) -> None:
    def share(at: datetime) -> float:
        weekend = 0.6 if at.weekday() >= 5 else 1.0
        return 0.3 * weekend * (1 + hourly * math.cos(2 * math.pi * at.hour / 24))

    for seed in range(2):
        watch = watched(headrace_drift_baseline_lists=500, headrace_drift_baseline_hours=24)
        assert until_noticed(watch, lists(seed, share, days=16, a_day=600)) is None


def test_time_that_passes_without_lists_is_no_evidence() -> None:
    watch = watched()
    for shown in lists(0, lambda _: 0.5, days=1, a_day=FIRST_LISTS):
        watch.observe(shown)
    for week in range(60):
        watch.observe(Shown(1, START + timedelta(weeks=week + 1), 0, frozenset(), is_clicked=True))
    assert watch.findings() == []


def test_after_a_refused_retraining_the_evidence_builds_up_anew() -> None:
    watch = watched()
    for shown in lists(0, lambda _: 0.5, days=1, a_day=FIRST_LISTS):
        watch.observe(shown)
    assert until_noticed(watch, lists(1, lambda _: 0.1, days=1, a_day=500))
    watch.reset()
    assert watch.findings() == []
    assert until_noticed(watch, lists(2, lambda _: 0.1, days=1, a_day=500))


def test_what_is_watched_tells_its_state() -> None:
    watch = watched()
    assert watch.signals()[0].state == "learning"
    for shown in lists(0, lambda _: 0.5, days=1, a_day=FIRST_LISTS):
        watch.observe(shown)
    [signal] = watch.signals()
    assert (signal.state, signal.kind) == ("quiet", "performance")
    assert signal.expected is not None
    assert signal.expected < 0.5
    assert signal.value == pytest.approx(0.5, abs=0.1)
    assert signal.note == ""
    watch.observe(Shown(1, START + timedelta(days=5), 0, frozenset(), is_clicked=True))
    assert "at weekends" in watch.signals()[0].note
