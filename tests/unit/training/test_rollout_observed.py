"""What the archive shows of a stage: the rows since it began, the newest of many, and no file that cannot hold any."""

import os
from pathlib import Path

import pytest

from services.training.rollout import observed as observation
from services.training.rollout.observed import observed
from services.training.rollout.stages import Stage, rollouts
from shared.contracts.topics import SCORES, SHADOWS, Topic
from shared.features.catalog.fraud import FRAUD
from tests.unit.training.rollout_scene import HOUR, SMALL, Scene, blind, declining
from tests.unit.training.training_scene import settings

LONG_AGO, LATER = 1_000_000_000, 4_000_000_000


def stage_of(scene: Scene) -> Stage:
    (stage,) = rollouts(scene.log.history(), "fraud", FRAUD.version).stages
    return stage


def sides(scene: Scene, stage: Stage, *, needed: int = 100) -> tuple[tuple[int, float], tuple[int, float]]:
    """Return payments and flagged share of the new version, and of the one before."""
    seen = observed(scene.archive, FRAUD, stage, settings(scene.home, **SMALL), needed=needed)
    return (seen.new.payments, seen.new.flagged.rate), (seen.before.payments, seen.before.flagged.rate)


def files(scene: Scene, topic: Topic) -> list[Path]:
    return list((scene.home / "archive" / topic.name).rglob("*.parquet"))


def test_each_side_is_counted_by_the_version_that_decided(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {1: blind, 2: declining})
    scene.pay(101)
    shadow = sides(scene, stage_of(scene))
    assert shadow[0] == (101, 91 / 101), "of the payments it declines ten are known as fraud"
    assert shadow[1][0] == 101
    assert 0 < shadow[1][1] < 0.3
    scene.announce("canaried", 2, actor="rollout", share=0.5)
    scene.pay(120)
    canary = sides(scene, stage_of(scene))
    assert (canary[0], canary[1][0]) == ((60, 54 / 60), 60)
    scene.announce("promoted", 2, actor="rollout")
    scene.announce("shadowed", 1, actor="rollout")
    scene.pay(70)
    watch = sides(scene, stage_of(scene))
    assert (watch[0], watch[1][0]) == ((70, 64 / 70), 70)


def test_labels_count_for_payments_that_are_old_enough_only(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.pay(101)
    scene.clock.advance(6 * HOUR)
    scene.pay(101)
    seen = observed(scene.archive, FRAUD, stage_of(scene), settings(scene.home, **SMALL), needed=100)
    assert seen.matured == 101
    assert seen.frauds == 10
    assert seen.test.p_value == 1.0


def test_files_that_were_written_before_a_stage_began_are_not_read_for_its_rates(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.pay(50)
    for file in files(scene, SCORES):
        file.write_bytes(b"damaged")
        os.utime(file, (LONG_AGO, LONG_AGO))
    scene.announce("canaried", 2, actor="rollout", share=0.5)
    scene.pay(60)
    new, before = sides(scene, stage_of(scene))
    assert (new[0], before[0]) == (30, 30)


def test_of_many_payments_the_newest_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observation, "_RATED", 0)
    scene = Scene(tmp_path)
    for batch in range(3):
        before = set(files(scene, SHADOWS))
        scene.pay(100)
        for file in set(files(scene, SHADOWS)) - before:
            os.utime(file, (LATER + batch, LATER + batch))
    assert sides(scene, stage_of(scene), needed=25)[0][0] == 100
    assert sides(scene, stage_of(scene), needed=26)[0][0] == 200
