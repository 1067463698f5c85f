"""What the drift service tells, given what it reads."""

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.contracts.events import Event
from shared.models.manifest import Reference
from shared.runtime import metrics
from tests.events import START, label, payment
from tests.unit.drift.drift_scene import (
    MISSED,
    Scene,
    alarms,
    decided,
    decided_frauds,
    fraud,
    manifest,
    promotion,
    register,
    requests,
    rewrite_manifest,
    vector,
)


def _count(counter: Any) -> float:
    return float(counter._value.get())


def _refusal(version: int) -> list[Event]:
    """What training announces about a model that is not better."""
    return [
        promotion(version, action=action, event_id=promotion(100 * version + at).event_id)
        for at, action in enumerate(("registered", "refused"))
    ]


def test_missed_fraud_raises_an_alarm_and_asks_for_a_new_model(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.promote()
    answers = scene.feed(decided_frauds(MISSED))
    (alarm,) = alarms(answers)
    (request,) = requests(answers)
    assert (alarm.signal, alarm.kind, alarm.model_version, alarm.since) == ("recall", "performance", 1, START)
    assert alarm.statistic >= alarm.threshold
    assert "0 of 40 labelled frauds were reviewed or declined (0%)" in alarm.explanation
    assert alarm.follows == "A new model is asked for."
    assert request.requested_by == "drift"
    assert request.reason == alarm.explanation
    (evidence,) = request.evidence
    assert (evidence.signal, evidence.statistic, evidence.samples) == ("recall", alarm.statistic, 40)


def test_a_model_that_catches_what_it_did_is_left_alone(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.promote()
    assert scene.feed(decided_frauds([True, True, False] * 100)) == []


def test_a_new_model_is_asked_for_as_soon_as_there_are_labels_to_learn_from(tmp_path: Path) -> None:
    scene = Scene(tmp_path, headrace_drift_fresh_frauds_min=50)
    scene.promote()
    (alarm,) = scene.feed(decided_frauds(MISSED))
    assert "No new model is asked for yet: a new model needs 50 labelled frauds" in (alarms([alarm])[0].follows or "")
    assert "there are 40" in scene.status().waits_for
    (request,) = scene.feed(decided_frauds(MISSED[:10], first=40))
    assert requests([request])
    assert scene.status().request == request


def test_asks_once_and_then_waits_for_the_answer(tmp_path: Path) -> None:
    scene = Scene(tmp_path, headrace_drift_cooldown_seconds=60)
    scene.promote()
    assert len(scene.feed(decided_frauds(MISSED))) == 2
    scene.clock.advance(timedelta(hours=1))
    assert scene.feed(decided_frauds(MISSED, first=1_000)) == []
    assert "training has not answered yet" in scene.status().waits_for
    scene.clock.advance(timedelta(days=1))
    assert len(requests(scene.feed(decided_frauds(MISSED, first=2_000)))) == 1, "the answer was lost"


def test_after_a_refusal_the_evidence_builds_up_anew_and_the_cooldown_passes(tmp_path: Path) -> None:
    scene = Scene(tmp_path, headrace_drift_cooldown_seconds=60)
    scene.promote()
    needless = metrics.DRIFT_RETRAININGS.labels("fraud", "needless")
    before = _count(needless)
    assert len(scene.feed(decided_frauds(MISSED))) == 2
    assert scene.feed(_refusal(2)) == []
    assert _count(needless) - before == 1
    assert scene.feed(decided_frauds(MISSED[:10], first=40)) == [], "ten say little"
    assert scene.feed(decided_frauds(MISSED, first=50)) == [], "the cool-down has doubled"
    assert "the cool-down lasts until" in scene.status().waits_for
    scene.clock.advance(timedelta(seconds=120))
    assert len(requests(scene.feed(decided_frauds(MISSED[:1], first=90)))) == 1
    assert scene.status().needless_retrainings == 1
    assert _count(metrics.DRIFT_NEEDLESS_RETRAININGS.labels("fraud")) == 1


def test_a_model_that_is_being_rolled_out_is_waited_for(tmp_path: Path) -> None:
    scene = Scene(tmp_path, headrace_drift_cooldown_seconds=0)
    scene.promote()
    scene.feed(decided_frauds(MISSED))
    steps = [
        promotion(2, action=action, event_id=promotion(200 + at).event_id)
        for at, action in enumerate(("registered", "shadowed"))
    ]
    assert scene.feed(steps) == []
    scene.clock.advance(timedelta(days=30))
    assert scene.feed(decided_frauds(MISSED, first=40)) == []
    assert scene.status().waits_for == "version 2 is being rolled out"
    scene.promote(2)
    assert scene.status().waits_for == ""


def test_a_new_version_starts_anew_and_ends_the_cooldown(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.promote()
    assert len(requests(scene.feed(decided_frauds(MISSED)))) == 1
    scene.promote(2)
    assert scene.feed(decided_frauds(MISSED, first=100)) == [], "the old model decided these"
    (request,) = requests(scene.feed(decided_frauds(MISSED, first=300, version=2)))
    assert "model fraud 2" in request.reason


def test_a_promotion_that_is_announced_twice_changes_nothing(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.promote()
    assert scene.feed(decided_frauds(MISSED[:20])) == []
    assert scene.feed([promotion(1)]) == []
    assert len(requests(scene.feed(decided_frauds(MISSED[:20], first=20)))) == 1


def test_a_rollback_is_watched_from_then_on_like_a_promotion(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.promote()
    assert len(requests(scene.feed(decided_frauds(MISSED)))) == 1
    scene.promote(2)
    assert scene.feed([promotion(1, action="rolled_back", event_id=promotion(3).event_id)]) == []
    assert scene.feed(decided_frauds(MISSED, first=100, version=2)) == [], "no longer in force"
    (request,) = requests(scene.feed(decided_frauds(MISSED, first=200)))
    assert "model fraud 1" in request.reason


@pytest.mark.parametrize("action", ["registered", "refused", "archived"])
def test_what_else_is_announced_changes_nothing(tmp_path: Path, action: str) -> None:
    scene = Scene(tmp_path)
    scene.promote()
    assert scene.feed(decided_frauds(MISSED[:20])) == []
    register(tmp_path, manifest(2))
    assert scene.feed([promotion(2, action=action)]) == []
    assert len(requests(scene.feed(decided_frauds(MISSED[:20], first=20)))) == 1


def test_versions_that_were_in_force_before_need_not_be_there_any_more(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    register(tmp_path, manifest(3))
    failures = _count(metrics.MODEL_LOAD_FAILURES.labels("fraud"))
    assert scene.feed([promotion(version) for version in (1, 2, 3)]) == []
    assert scene.monitor.problem() is None
    assert _count(metrics.MODEL_LOAD_FAILURES.labels("fraud")) == failures


def test_a_payment_labelled_twice_counts_once(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.promote()
    assert scene.feed([*decided(1, flagged=False), *(fraud(1) for _ in range(100))]) == []


def test_labels_that_contradict_each_other_are_counted_and_the_last_one_holds(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.promote()
    before = _count(metrics.CONTRADICTED_LABELS)
    assert scene.feed(decided_frauds(MISSED[:20])) == []
    after_all = [
        label(payment(f"t{number}", card_id=f"card-{number}"), "genuine", known_after=timedelta(days=2))
        for number in range(20)
    ]
    assert scene.feed(after_all) == []
    assert _count(metrics.CONTRADICTED_LABELS) - before == 20
    more = scene.feed(decided_frauds(MISSED[:20], first=20))
    assert requests(more) == []
    assert "and there are 20." in (alarms(more)[0].follows or ""), "only these were missed"


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
    (recall,) = [signal for signal in scene.status().signals if signal.name == "recall"]
    assert recall.samples == 43
    assert recall.value == pytest.approx(3 / 43)


def test_evidence_is_not_doubled_by_a_batch_that_comes_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.promote()
    nearly = scene.deliveries(decided_frauds(MISSED[:20]))
    assert [scene.monitor(nearly) for _ in range(10)] == [[]] * 10


def test_a_log_that_was_begun_anew_is_read_like_any_other(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.promote()
    assert len(scene.feed(decided_frauds(MISSED))) == 2
    scene.begin_log_anew()
    scene.promote(2)
    assert len(requests(scene.feed(decided_frauds(MISSED, first=1_000, version=2)))) == 1


def test_vectors_of_another_feature_set_are_passed_over(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.promote(feature_names=["amount"])
    assert scene.feed([vector(1)]) == []
    assert scene.monitor.problem() is None


def test_says_what_it_cannot_see_for_want_of_a_measure(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.promote(metrics={})
    assert scene.feed(decided_frauds([True])) == []
    assert any(told.startswith("recall: the manifest of version 1 has no recall") for told in scene.status().blind)


@pytest.mark.parametrize(
    ("broken", "missing"),
    [
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
