"""Recommenders that show less of the catalogue, or more, than they did at first."""

import random
from collections.abc import Iterator
from datetime import timedelta

import pytest

from services.drift.evidence import Budget
from services.drift.recommendation.clicks import Shown
from services.drift.recommendation.coverage import Coverage
from services.drift.recommendation.watch import SHARES
from services.drift.settings import DriftSettings
from tests.events import START
from tests.unit.drift.click_scene import Shop, impression, reco_promotion
from tests.unit.drift.drift_scene import alarms, requests

BASELINE = 1_000
A_DAY = 1_000


def watched(*, hours: float = 24) -> Coverage:
    settings = DriftSettings(headrace_drift_baseline_lists=BASELINE, headrace_drift_baseline_hours=hours)
    return Coverage(1, settings, threshold_days=Budget(1.0).threshold_days(SHARES["coverage"]))


def lists(seed: int, catalogue: int, *, days: float, first_day: float = 0) -> Iterator[Shown]:
    """Yield lists of five items out of so many, the popular ones more often."""
    chance = random.Random(seed)
    weights = [1 / (place + 10) for place in range(catalogue)]
    for number in range(int(days * A_DAY)):
        items = frozenset(f"item-{at}" for at in chance.choices(range(catalogue), weights, k=5))
        yield Shown(1, START + timedelta(days=first_day + number / A_DAY), 0, items)


def found_after(watch: Coverage, shown: Iterator[Shown]) -> int | None:
    """Return after how many lists a change is found; None when none is."""
    for number, each in enumerate(shown, 1):
        watch.observe(each)
        if number % 50 == 0 and watch.findings():
            return number
    return None


@pytest.mark.parametrize(("catalogue", "word"), [(60, "less"), (20_000, "more")])
def test_a_recommender_that_narrows_or_scatters_is_noticed(catalogue: int, word: str) -> None:
    watch = watched()
    assert found_after(watch, lists(0, 400, days=3)) is None
    noticed = found_after(watch, lists(1, catalogue, days=2, first_day=3))
    assert noticed is not None
    assert noticed <= 1_000
    [finding] = watch.findings()
    assert f"shows {word} of the catalogue" in finding.explanation
    assert finding.kind == "data", "nobody is worse off before clicks tell"
    assert finding.since is not None
    assert finding.since >= START + timedelta(days=2)


@pytest.mark.parametrize("seed", range(3))
def test_a_recommender_that_stays_as_it_was_is_left_alone(seed: int) -> None:
    watch = watched()
    assert found_after(watch, lists(seed, 400, days=20)) is None
    assert watch.signals()[0].state == "quiet"


def test_a_change_too_small_to_matter_is_no_alarm_however_sure_it_is() -> None:
    watch = watched()
    found_after(watch, lists(0, 400, days=3))
    assert found_after(watch, lists(1, 340, days=20, first_day=3)) is None
    assert watch.signals()[0].evidence_days > 0


def test_it_learns_over_the_hours_that_are_set_in_memory_that_stays_bounded() -> None:
    watch = watched(hours=24 * 30)
    assert found_after(watch, lists(0, 400, days=29)) is None
    assert watch.signals()[0].state == "learning"
    assert len(watch._reference) <= 100
    found_after(watch, lists(0, 400, days=2, first_day=29))
    assert watch.signals()[0].state == "quiet"


def test_narrower_lists_raise_an_alarm_and_ask_for_nothing_while_they_are_clicked() -> None:
    shop = Shop()
    shop.feed([reco_promotion(1)])
    assert shop.lists(600, 0.4) == []
    answers = shop.lists(600, 0.4, items=impression(0).items[3:4])
    assert requests(answers) == []
    [alarm] = alarms(answers)
    assert (alarm.signal, alarm.kind) == ("coverage", "data")
    assert "no harm to performance is known" in (alarm.follows or "")
