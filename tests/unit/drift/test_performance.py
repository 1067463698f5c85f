import pickle
from collections.abc import Iterable
from datetime import datetime, timedelta

import pytest

from services.drift.finding import Finding
from services.drift.labels.performance import PerformanceWatch
from services.drift.signals import Signal
from tests.unit.drift.performance_scene import START, THRESHOLD_DAYS, Happening, World, feed, happenings, payment, watch

SEGMENTS = ("country=DE", "country=FR")
CHANGE_DAY = 30
CHANGED = START + timedelta(days=CHANGE_DAY)


def alarms(watched: PerformanceWatch, happened: Iterable[Happening]) -> list[tuple[datetime, Finding]]:
    """What was found, and when; after each the evidence is gathered anew."""
    found = []
    for happening in happened:
        feed(watched, happening)
        if happening.kind == "fraud":
            for finding in watched.findings():
                found.append((happening.at, finding))
                watched.reset()
    return found


def signal(watched: PerformanceWatch, name: str, segment: str | None = None) -> Signal:
    return next(each for each in watched.signals() if (each.name, each.segment) == (name, segment))


@pytest.mark.parametrize("burst", [1.0, 4.0])
def test_a_model_that_holds_is_left_alone_though_frauds_come_in_bursts(burst: float) -> None:
    watched = watch(SEGMENTS)
    assert alarms(watched, happenings(World(days=45, payments_a_day=150, burst=burst), 1)) == []
    recall = signal(watched, "recall")
    assert recall.state == "quiet"
    assert recall.expected == pytest.approx(0.71 * 0.95)
    assert recall.value == pytest.approx(0.71, abs=0.12)
    assert signal(watched, "precision").value == pytest.approx(0.625, abs=0.12)


def test_recall_that_halves_is_found_within_two_weeks_and_told_with_its_numbers() -> None:
    watched = watch(SEGMENTS)
    world = World(days=CHANGE_DAY + 14, payments_a_day=250, missed=0.5, changes_on=CHANGE_DAY)
    found = alarms(watched, happenings(world, 2))
    assert found
    at, finding = found[0]
    assert at > CHANGED
    assert (finding.kind, finding.signal, finding.threshold) == ("performance", "recall", THRESHOLD_DAYS)
    assert finding.statistic >= THRESHOLD_DAYS
    assert timedelta(0) <= at - finding.at < timedelta(hours=3)
    assert finding.since is not None
    assert abs(finding.since - CHANGED) < timedelta(days=6)
    assert finding.samples > 10
    assert f"of {finding.samples} labelled frauds were reviewed or declined" in finding.explanation
    assert "held-out payments promise 67% at least" in finding.explanation
    assert "comes up by chance once in" in finding.explanation


def test_a_fall_in_one_segment_is_told_as_that_segments() -> None:
    watched = watch(SEGMENTS)
    world = World(days=45 + 25, payments_a_day=150, missed=1.0, changes_on=45, place=2)
    found = alarms(watched, happenings(world, 3))
    assert found
    assert {finding.segment for _, finding in found} <= {"country=FR", None}
    assert signal(watched, "recall", "country=DE").value == pytest.approx(0.71, abs=0.15)


def test_fraud_that_scores_low_is_more_fraud_than_the_scores_say() -> None:
    watched = watch()
    for number in range(4_000):
        at = START + timedelta(minutes=10 * number)
        watched.decided(payment(number, at=at, score=0.001, flagged=False))
        paid = payment(number, at=at, score=0.001, flagged=False, label="fraud" if number % 50 == 0 else None)
        watched.matured(paid)
        if paid.label == "fraud":
            watched.fraud(paid)
    calibration = signal(watched, "calibration")
    assert calibration.value == pytest.approx(0.02, rel=0.1)
    assert calibration.expected == pytest.approx(0.0025, rel=0.1)
    assert calibration.evidence_days > THRESHOLD_DAYS


def test_labels_that_stop_coming_are_told_and_not_taken_for_a_model_that_flags_for_nothing() -> None:
    watched = watch(SEGMENTS)
    world = World(days=20 + 25, payments_a_day=150, labels_stop_on=20)
    assert alarms(watched, happenings(world, 4)) == []
    for name in ("recall", "precision", "calibration", "error"):
        blind = signal(watched, name)
        assert blind.state == "blind"
        assert "no fraud label has come since 2026-01-2" in blind.note
    assert signal(watched, "estimated_recall").state == "quiet", "that needs no labels"
    watched.fraud(payment(1))
    assert signal(watched, "precision").evidence_days < THRESHOLD_DAYS
    assert watched.unjudged > 1_000


@pytest.mark.parametrize("metrics", [{}, {"recall": 0.0, "precision": float("nan")}])
def test_what_the_manifest_does_not_promise_cannot_be_seen_and_the_rest_goes_on(metrics: dict[str, float]) -> None:
    watched = watch(SEGMENTS, metrics=metrics)
    assert alarms(watched, happenings(World(days=10, payments_a_day=100), 1)) == []
    assert {each.name for each in watched.signals() if each.state == "blind"} == {"recall", "precision"}
    assert "train the model again" in signal(watched, "recall").note
    assert signal(watched, "calibration").samples > 0


def test_the_lower_end_of_the_held_out_interval_is_what_must_hold() -> None:
    watched = watch(intervals={"recall": (0.6, 0.8)})
    assert signal(watched, "recall").expected == pytest.approx(0.6 * 0.95)


def test_payments_of_another_version_or_without_a_score_say_nothing_of_this_one_but_their_frauds_can_teach() -> None:
    watched = watch()
    for number in range(100):
        watched.fraud(payment(number, at=START + timedelta(days=number), version=2, flagged=False))
        watched.fraud(payment(1_000 + number, at=START + timedelta(days=number), score=None, flagged=False))
    assert signal(watched, "recall").samples == 0
    assert watched.fresh_frauds(None) == 200
    assert watched.fresh_frauds(START + timedelta(days=90)) == 20


def test_a_fraud_that_was_none_is_taken_back() -> None:
    watched = watch()
    missed = [payment(number, flagged=False) for number in range(40)]
    for each in missed:
        watched.fraud(each)
    assert signal(watched, "recall").evidence_days > THRESHOLD_DAYS / 10
    for each in missed:
        watched.contradicted(each)
    assert signal(watched, "recall").evidence_days < 1
    assert watched.fresh_frauds(None) == 0


def test_a_label_that_comes_after_its_payment_was_judged_mends_precision() -> None:
    watched = watch()
    flagged = [payment(number) for number in range(40)]
    for each in flagged:
        watched.decided(each)
        watched.matured(each)
    watched.fraud(payment(1_000))
    assert signal(watched, "precision").value == 0
    for each in flagged:
        watched.fraud(each)
    assert signal(watched, "precision").value == 1


def test_it_goes_on_after_it_was_written_to_disk() -> None:
    world = World(days=CHANGE_DAY + 12, payments_a_day=150, missed=0.9, changes_on=CHANGE_DAY)
    happened = list(happenings(world, 5))
    whole, broken_off = watch(SEGMENTS), watch(SEGMENTS)
    half = len(happened) * 3 // 4
    for happening in happened[:half]:
        feed(whole, happening)
    for happening in happened[:half]:
        feed(broken_off, happening)
    resumed: PerformanceWatch = pickle.loads(pickle.dumps(broken_off))  # noqa: S301 - our own
    for happening in happened[half:]:
        feed(whole, happening)
        feed(resumed, happening)
    assert resumed.signals() == whole.signals()
