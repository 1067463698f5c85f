"""The recommender's monitor as a whole: what it shows, what outlives it, what a failing watch does to the other."""

import pickle

import pytest

from services.drift.recommendation.coverage import Coverage
from tests.unit.drift.click_scene import FIRST_LISTS, Shop, reco_promotion
from tests.unit.drift.drift_scene import alarms


def test_what_was_learnt_outlives_the_process() -> None:
    shop = Shop()
    shop.feed([reco_promotion(3)])
    shop.lists(FIRST_LISTS, 0.4, version=3)
    shop.monitor.memory = pickle.loads(pickle.dumps(shop.monitor.memory))  # noqa: S301 - made a line before
    [alarm] = alarms(shop.lists(600, 0.1, version=3))
    assert (alarm.model_version, alarm.signal) == (3, "click_through")


def test_how_the_recommender_fares_is_shown() -> None:
    shop = Shop()
    assert shop.monitor.status() is None
    shop.feed([reco_promotion(3)])
    shop.lists(FIRST_LISTS + 100, 0.4, version=3)
    quiet = shop.monitor.status()
    assert quiet is not None
    assert (quiet.model_name, quiet.model_version, quiet.is_quiet) == ("recommendation", 3, True)
    shop.lists(600, 0.1, version=3)
    fallen = shop.monitor.status()
    assert fallen is not None
    assert not fallen.is_quiet
    assert fallen.request is not None
    assert [alarm.signal for alarm in fallen.alarms] == ["click_through"]
    assert [family.name for family in fallen.families if family.is_alarmed] == ["click_through"]


def test_a_watch_that_fails_is_named_and_the_other_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    shop.feed([reco_promotion(1)])
    monkeypatch.setattr(Coverage, "observe", _fail)
    shop.lists(FIRST_LISTS, 0.4)
    assert [alarm.signal for alarm in alarms(shop.lists(600, 0.1))] == ["click_through"]
    status = shop.monitor.status()
    assert status is not None
    assert "coverage" in status.blind[0]


def _fail(*_: object) -> None:
    raise ZeroDivisionError
