"""A version that is the one before but for its line goes on where that one was."""

from pathlib import Path

import pytest

from shared.models.manifest import RECALIBRATES, Thresholds
from tests.unit.drift.drift_scene import (
    MISSED,
    Scene,
    alarms,
    decided_frauds,
    manifest,
    promotion,
    register,
    requests,
)

FEW = 12
"""Missed frauds that are not enough for an alarm; twice as many are."""


def promoted_after(scene: Scene, metrics: dict[str, float], thresholds: Thresholds | None = None) -> None:
    """Let version 1 miss a few frauds, and version 2 come into force."""
    scene.promote()
    assert scene.feed(decided_frauds(MISSED[:FEW])) == []
    made = manifest(2)
    known = made.metrics | metrics
    register(scene.home, manifest(2, metrics=known, thresholds=thresholds or made.thresholds))
    assert scene.feed([promotion(2, metrics=metrics)]) == []


def test_evidence_goes_on_with_a_recalibrated_version(tmp_path: Path) -> None:
    scene = Scene(tmp_path, headrace_drift_fresh_frauds_min=0)
    promoted_after(scene, {RECALIBRATES: 1.0})
    answers = scene.feed(decided_frauds(MISSED[:FEW], first=FEW, version=2))
    (alarm,) = alarms(answers)
    assert alarm.model_version == 2
    assert f"0 of {2 * FEW} labelled frauds" in alarm.explanation
    assert requests(answers)


@pytest.mark.parametrize(
    ("metrics", "thresholds"),
    [({}, None), ({RECALIBRATES: 1.0}, Thresholds(review=0.1, decline=0.95)), ({RECALIBRATES: 7.0}, None)],
    ids=["another model", "other thresholds", "recalibrates another"],
)
def test_any_other_version_begins_without_evidence(
    tmp_path: Path, metrics: dict[str, float], thresholds: Thresholds | None
) -> None:
    scene = Scene(tmp_path, headrace_drift_fresh_frauds_min=0)
    promoted_after(scene, metrics, thresholds)
    assert scene.feed(decided_frauds(MISSED[:FEW], first=FEW, version=2)) == []
    assert scene.status().model_version == 2


def test_what_was_told_of_the_version_before_is_not_told_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path, headrace_drift_fresh_frauds_min=10_000)
    scene.promote()
    assert len(alarms(scene.feed(decided_frauds(MISSED)))) == 1
    register(scene.home, manifest(2, metrics=manifest(2).metrics | {RECALIBRATES: 1.0}))
    assert scene.feed([promotion(2, metrics={RECALIBRATES: 1.0})]) == []
    assert scene.feed(decided_frauds(MISSED, first=len(MISSED), version=2)) == []
    assert "10000 labelled frauds" in scene.status().waits_for.replace(",", "")
