"""All detectors of one version together: what one does leaves the others alone."""

import logging
import pickle
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.events import DriftAlarm, Event
from shared.runtime import metrics
from tests.events import START
from tests.unit.drift.daily_scene import PAYMENTS_A_DAY, day, profile, usual_amount
from tests.unit.drift.drift_scene import MISSED, PACE, Scene, alarms, decided, decided_frauds, fraud, requests, vector


def _scene(home: Path, **settings: Any) -> Scene:
    scene = Scene(home, **settings)
    scene.promote(profile=profile())
    return scene


def _days(scene: Scene, first: int, last: int, **fields: Any) -> list[Event]:
    return [answer for number in range(first, last) for answer in scene.feed(day(number, **fields))]


def _labels(number: int) -> list[Event]:
    """Say of every third payment of a day that it was fraud."""
    places = range(0, PAYMENTS_A_DAY, 3)
    return [
        fraud(number * PAYMENTS_A_DAY + place, after=(number + place / PAYMENTS_A_DAY) * timedelta(days=1))
        for place in places
    ]


def _of_kind(answers: list[Event], kind: str) -> list[DriftAlarm]:
    return [alarm for alarm in alarms(answers) if alarm.kind == kind]


def test_days_like_those_of_training_are_left_alone(tmp_path: Path) -> None:
    scene = _scene(tmp_path)
    assert _days(scene, 0, 12) == []
    status = scene.status()
    assert {family.name for family in status.families} == {"performance", "data", "together", "faults"}
    assert [distribution.name for distribution in status.distributions][:2] == ["amount", "weekend"]
    assert status.newest is not None
    assert abs(status.newest - START - timedelta(days=11.5)) < timedelta(hours=1), "the middle of the last batch"


def test_a_change_of_what_comes_in_is_told_and_asks_for_nothing_while_no_harm_is_known(tmp_path: Path) -> None:
    scene = _scene(tmp_path)
    answers = _days(scene, 0, 3) + _days(scene, 3, 14, amount=lambda chance: 5.0 + chance.random())
    told = _of_kind(answers, "data")
    assert told
    assert len({alarm.signal for alarm in told}) == len(told), "each once, however long it stays"
    assert all(alarm.since is not None and alarm.since >= START for alarm in told)
    assert all((alarm.follows or "").startswith("No new model is asked for: no harm") for alarm in told)
    assert any("amount" in alarm.explanation for alarm in told)
    assert requests(answers) == []


def test_a_change_of_what_comes_in_asks_for_a_new_model_where_set(tmp_path: Path) -> None:
    scene = _scene(tmp_path, headrace_drift_retrain_on_data=True, headrace_drift_fresh_frauds_min=0)
    answers = _days(scene, 0, 3) + _days(scene, 3, 14, amount=lambda chance: 5.0 + chance.random())
    assert len(requests(answers)) == 1


def test_a_feed_that_breaks_is_told_within_the_day_and_nothing_is_learnt_from_it(tmp_path: Path) -> None:
    scene = _scene(tmp_path)
    assert _days(scene, 0, 3) == []
    (alarm,) = alarms(_days(scene, 3, 4, amount=lambda _: 0.0))
    assert (alarm.kind, alarm.signal) == ("fault", "feed_amount")
    assert "the feed has to be mended" in (alarm.follows or "")
    assert any("payments since" in told and "are not judged" in told for told in scene.status().blind)
    missed = scene.feed(_labels(3))
    assert _of_kind(missed, "performance") == [], "the model cannot be blamed"
    assert _days(scene, 4, 8) == [], "mended"
    assert not any("are not judged" in told for told in scene.status().blind)
    assert scene.feed(_labels(3)) == []
    assert _of_kind(scene.feed(_labels(7)), "performance"), "judged again"


def test_no_new_model_is_asked_for_while_a_feed_is_broken(tmp_path: Path) -> None:
    scene = _scene(tmp_path, headrace_drift_fresh_frauds_min=1_000)
    _days(scene, 0, 2)
    (fallen,) = alarms(scene.feed(_labels(1)))
    assert "labelled frauds" in (fallen.follows or "")
    assert len(_of_kind(_days(scene, 2, 3, amount=lambda _: 0.0), "fault")) == 1
    assert scene.status().waits_for == "the feed of amount is broken, and nothing is to be learnt from that"
    _days(scene, 3, 5, amount=usual_amount)
    assert "labelled frauds" in scene.status().waits_for


def test_a_payment_that_is_dated_ahead_moves_nothing(tmp_path: Path) -> None:
    scene = _scene(tmp_path)
    _days(scene, 0, 2)
    newest = scene.status().newest
    assert newest is not None
    assert scene.feed([*day(2)[:100], vector(10**6, after=timedelta(days=300)), *day(2)[100:]]) == []
    assert (scene.status().newest or newest) < newest + timedelta(days=2)
    assert _days(scene, 3, 6) == []


def test_a_detector_that_throws_is_taken_out_and_named_and_the_others_watch_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def throws(*_: object, **__: object) -> None:
        raise ZeroDivisionError("nothing to divide by")

    monkeypatch.setattr("services.drift.data.watch.DataWatch.observe", throws)
    monkeypatch.setattr("services.drift.data.together.TogetherWatch.__init__", throws)
    failures = metrics.DRIFT_DETECTOR_FAILURES.labels("data")
    before = failures._value.get()
    scene = _scene(tmp_path)
    with caplog.at_level(logging.ERROR):
        assert len(requests(scene.feed(decided_frauds(MISSED)))) == 1
        assert scene.feed(decided_frauds([True], first=100)) == []
    assert failures._value.get() - before == 1, "not asked again"
    told = scene.status().blind
    for family in ("data", "together"):
        assert any(line.startswith(f"{family}: taken out") and "nothing to divide by" in line for line in told)
    assert {family.name for family in scene.status().families} == {"performance", "faults"}
    assert any(record.exc_info for record in caplog.records), "with its traceback"

    monkeypatch.undo()
    scene.monitor.memory = pickle.loads(pickle.dumps(scene.monitor.memory))  # noqa: S301 - of a line before
    assert len(scene.status().families) == 4, "a restart gives it another chance"
    assert scene.status().request is not None


def test_payments_that_no_label_came_for_are_counted(tmp_path: Path) -> None:
    scene = Scene(tmp_path, headrace_drift_label_delay_days=1)
    scene.promote()
    weeks = range(2_000)
    for number in weeks:
        scene.feed(decided(number, flagged=False))
    scene.feed([fraud(weeks[-1], after=weeks[-1] * PACE)])
    assert metrics.DRIFT_PAYMENTS_LOST.labels("unjudged")._value.get() > 0
