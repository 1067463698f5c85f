"""What the drift service tells, given what it reads."""

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.events import Event
from shared.models.manifest import Reference
from shared.runtime import metrics
from tests.unit.drift.drift_scene import (
    Scene,
    alarms,
    decided_frauds,
    decision,
    fraud,
    manifest,
    promotion,
    register,
    requests,
    rewrite_manifest,
    vector,
)

MISSED = [False] * 20


def _unmatched() -> float:
    return float(metrics.UNMATCHED_LABELS.labels("drift")._value.get())


def test_missed_fraud_raises_an_alarm_and_asks_for_a_new_model(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.promote()
    answers = scene.feed(decided_frauds(MISSED))
    (alarm,) = alarms(answers)
    (request,) = requests(answers)
    assert (alarm.signal, alarm.model_version) == ("recall_cusum", 1)
    assert alarm.statistic >= alarm.threshold
    assert "0 were reviewed or declined (0%); on held-out payments it caught 70%" in alarm.explanation
    assert request.requested_by == "drift"
    assert request.reason == alarm.explanation


def test_a_model_that_catches_what_it_did_is_left_alone(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.promote()
    assert scene.feed(decided_frauds([True, True, False] * 100)) == []


def test_asks_again_only_after_the_cooldown(tmp_path: Path) -> None:
    scene = Scene(tmp_path, headrace_drift_cooldown_seconds=60)
    scene.promote()
    assert len(scene.feed(decided_frauds(MISSED * 5))) == 2
    assert scene.feed(decided_frauds(MISSED * 5, first=1_000)) == []
    scene.clock.advance(timedelta(seconds=60))
    assert len(requests(scene.feed(decided_frauds(MISSED, first=2_000)))) == 1


def test_a_new_version_starts_anew_and_ends_the_cooldown(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.promote()
    assert len(requests(scene.feed(decided_frauds(MISSED)))) == 1
    scene.promote(2)
    late = [decision(number, flagged=False, version=1) for number in range(100, 200)]
    assert scene.feed([*late, *(fraud(number) for number in range(100, 200))]) == [], "the old model decided these"
    (request,) = requests(scene.feed(decided_frauds(MISSED, first=300, version=2)))
    assert "model fraud 2" in request.reason


def test_a_promotion_that_is_announced_twice_changes_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.promote()
    nearly = decided_frauds(MISSED[:8])
    assert scene.feed(nearly) == []
    assert scene.feed([promotion(1)]) == []
    assert len(requests(scene.feed(decided_frauds(MISSED[:8], first=100)))) == 1


def test_a_rollback_is_watched_from_then_on_like_a_promotion(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.promote()
    assert len(requests(scene.feed(decided_frauds(MISSED)))) == 1
    scene.promote(2)
    assert scene.feed([promotion(1, action="rolled_back", event_id=promotion(3).event_id)]) == []
    assert scene.feed(decided_frauds(MISSED, first=100, version=2)) == [], "no longer in force"
    (request,) = requests(scene.feed(decided_frauds(MISSED, first=200)))
    assert "model fraud 1" in request.reason


@pytest.mark.parametrize("action", ["registered", "refused", "shadowed", "archived"])
def test_what_else_is_announced_changes_nothing(tmp_path: Path, action: str) -> None:
    scene = Scene(tmp_path)
    scene.promote()
    assert scene.feed(decided_frauds(MISSED[:8])) == []
    register(tmp_path, manifest(2))
    assert scene.feed([promotion(2, action=action)]) == []
    assert len(requests(scene.feed(decided_frauds(MISSED[:8], first=100)))) == 1


def test_versions_that_were_in_force_before_need_not_be_there_any_more(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    register(tmp_path, manifest(3))
    failures = metrics.MODEL_LOAD_FAILURES.labels("fraud")._value.get()
    assert scene.feed([promotion(version) for version in (1, 2, 3)]) == []
    assert scene.monitor.problem() is None
    assert metrics.MODEL_LOAD_FAILURES.labels("fraud")._value.get() == failures


def test_a_payment_labelled_twice_counts_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.promote()
    assert scene.feed([decision(1, flagged=False), *(fraud(1) for _ in range(100))]) == []


def test_labels_of_unknown_payments_are_counted(tmp_path: Path) -> None:
    scene = Scene(tmp_path, headrace_drift_decisions_remembered=5)
    scene.promote()
    before = _unmatched()
    assert scene.feed([decision(number, flagged=False) for number in range(8)]) == []
    assert scene.feed([fraud(number) for number in range(10)]) == []
    assert _unmatched() - before == 3 + 2, "three were forgotten, two never seen"


def test_a_batch_whose_commit_failed_repeats_its_alarm_and_counts_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.promote()
    first = scene.deliveries(decided_frauds(MISSED))
    answer = scene.monitor(first)
    assert len(answer) == 2
    assert scene.monitor(first) == answer, "the same bytes, so the same ids"
    # Delivered a third time, cut differently, with more behind it.
    more = scene.deliveries(decided_frauds([True] * 3, first=500))
    assert [*scene.monitor(first[:25]), *scene.monitor([*first[25:], *more])] == answer
    assert scene.monitor(more) == []
    assert metrics.DRIFT_STATISTIC.labels("fraud", "recall")._value.get() == pytest.approx(3 / 23)


def test_evidence_is_not_doubled_by_a_batch_that_comes_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.promote()
    nearly = scene.deliveries(decided_frauds(MISSED[:8]))
    assert [scene.monitor(nearly) for _ in range(10)] == [[]] * 10


def _week(*, amount: float, first_day: int = 0) -> list[Event]:
    """A week and a day of payments, a tenth flagged; two of seven days are a weekend."""
    events: list[Event] = []
    for number in range(first_day * 300, (first_day + 8) * 300):
        after = number * timedelta(days=1) / 300
        events.append(
            vector(number, amount=amount if number % 4 else 25.0, weekend=float(after.days % 7 >= 5), after=after)
        )
        events.append(decision(number, flagged=number % 10 == 0, after=after))
    return events


def test_a_shifted_feature_is_told_once_and_asks_for_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.promote()
    answers = scene.feed(_week(amount=5.0))
    (alarm,) = alarms(answers)
    assert requests(answers) == []
    assert (alarm.signal, alarm.samples) == ("psi_amount", 2_100)
    assert "values below 10 were 25.0% of payments and are 75.0%" in alarm.explanation
    assert scene.feed([vector(9_000, amount=5.0, weekend=0.0, after=timedelta(days=9))]) == []


@pytest.mark.parametrize(
    ("name", "codes", "fractions", "told"),
    [
        ("country", [25, 82], [0.9, 0.0, 0.1], "change: those with country DE were 0.0% of payments and are 75.0%"),
        ("mcc", [25, 82], [0.9, 0.0, 0.1], "change: those with mcc 0082 were 0.0% of payments and are 75.0%"),
        ("country", [4, 25], [0.5, 0.5, 0.0], "change: those with another country were 0.0% of payments and are"),
        ("weather", [25, 82], [0.9, 0.0, 0.1], "change: those with weather of code 82 were 0.0% of payments and"),
        ("channel", [25, 82], [0.9, 0.0, 0.1], "change: those with channel of code 82 were 0.0% of payments and"),
    ],
)
def test_a_category_that_comes_anew_is_told_by_its_own_name(
    tmp_path: Path, name: str, codes: list[int], fractions: list[float], told: str
) -> None:
    scene = Scene(tmp_path)
    reference = Reference(codes=codes, fractions=fractions)
    scene.promote(feature_names=[name, "weekend"], references=manifest().references | {name: reference})
    alarm, *more = alarms(scene.feed(_week(amount=82.0)))
    assert more == []
    assert alarm.signal == f"psi_{name}"
    assert told in alarm.explanation


def test_a_shifted_feature_asks_for_a_new_model_where_set(tmp_path: Path) -> None:
    scene = Scene(tmp_path, headrace_drift_retrain_on_distribution=True)
    scene.promote()
    assert len(requests(scene.feed(_week(amount=5.0)))) == 1
    assert scene.feed(_week(amount=5.0, first_day=8)) == [], "a model was asked for just now"
    scene.clock.advance(timedelta(minutes=10))
    again = scene.feed(_week(amount=5.0, first_day=16))
    assert len(requests(again)) == 1, "it has not come: training may have been asked too soon"


def test_a_stable_week_is_quiet_and_shows_its_statistics(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    reference = Reference(edges=[10.0, 20.0], fractions=[0.0, 0.75, 0.25])
    scene.promote(references=manifest().references | {"amount": reference})
    assert scene.feed(_week(amount=15.0)) == []
    for signal in ("psi_amount", "psi_weekend", "psi_score"):
        assert metrics.DRIFT_STATISTIC.labels("fraud", signal)._value.get() < 0.01


def test_vectors_from_before_the_promotion_do_not_count(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    register(tmp_path, manifest())
    old = scene.deliveries(_week(amount=5.0))
    assert scene.monitor(scene.deliveries([promotion(1)])) == []
    assert alarms(scene.feed([])) == []
    assert scene.monitor([delivery for delivery in old if delivery.record.topic == "features"]) == []


def test_vectors_of_another_feature_set_are_passed_over(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.promote(feature_names=["amount"])
    assert scene.feed([vector(1, amount=1.0, weekend=0.0, after=timedelta())]) == []


@pytest.mark.parametrize(
    ("broken", "missing"),
    [
        ({"metrics": {}}, "metrics.recall must be a share between 0 and 1, not None"),
        ({"references": {}}, "references has no 'amount'"),
        ({"model_digest": "9" * 64}, "the manifest describes the model 999999999999"),
        (
            {"references": manifest().references | {"score": Reference(edges=[0.5], fractions=[1.0])}},
            "references.score has 1 edges and 1 fractions",
        ),
        (
            {"references": manifest().references | {"score": Reference(edges=[0.5, 0.1], fractions=[0.2, 0.3, 0.5])}},
            "references.score.edges must ascend",
        ),
        (
            {"references": manifest().references | {"amount": Reference(codes=[9, 3], fractions=[0.2, 0.3, 0.5])}},
            "references.amount.codes must ascend",
        ),
        (
            {"references": manifest().references | {"amount": Reference(codes=[3, 9], fractions=[0.5, 0.5])}},
            "references.amount has 2 codes and 2 fractions",
        ),
        (
            {"references": manifest().references | {"amount": Reference(edges=[1.0], codes=[3], fractions=[0.5, 0.5])}},
            "references.amount has both edges and codes",
        ),
        (
            {"references": manifest().references | {"score": Reference(edges=[0.5], fractions=[0.2, 0.3])}},
            "references.score.fractions must be shares that sum to 1",
        ),
    ],
)
def test_says_what_a_manifest_lacks_and_watches_once_it_is_there(
    tmp_path: Path, broken: dict[str, Any], missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    scene = Scene(tmp_path)
    register(tmp_path, manifest())
    rewrite_manifest(tmp_path, 1, manifest(**broken))
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            assert scene.feed([promotion(1)]) == []
    assert missing in (scene.monitor.problem() or "")
    assert len(caplog.records) == 1, "said once, not with every batch"
    rewrite_manifest(tmp_path, 1, manifest())
    assert len(requests(scene.feed(decided_frauds(MISSED)))) == 1
    assert scene.monitor.problem() is None


def test_a_missing_registry_is_named(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    assert scene.monitor.problem() is None, "no model is no problem"
    assert scene.feed([promotion(1), *decided_frauds(MISSED)]) == []
    assert str(tmp_path / "models" / "fraud" / "1" / "manifest.json") in (scene.monitor.problem() or "")
