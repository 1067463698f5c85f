"""`headrace models recalibrate`: what a person sees, and what is announced in their name."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli import models as command
from services.cli import recalibrate
from services.training.recalibration.recalibrator import ACTOR
from services.training.refusal import RefusedError
from tests.unit.training.recalibration_scene import TRIPLED, Scene


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene(tmp_path)
    made.champion()
    monkeypatch.setattr(recalibrate, "open_bus", lambda _: made.bus)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("HEADRACE_TRAINING_LABEL_DELAY_DAYS", "2")
    return made


def run(scene: Scene, *words: str) -> Result:
    return CliRunner().invoke(command.models, ["recalibrate", *words, "--home", str(scene.home)])


def test_a_dry_run_tells_what_would_be_done_and_does_nothing(scene: Scene) -> None:
    scene.stream(rate=TRIPLED)
    before = scene.log.history().events
    told = run(scene, "--dry-run")
    assert told.exit_code == 0
    for what in (
        "version 1: log odds times",
        "lowers log loss by",
        "review from 0.1 (before: 0.1)",
        "nothing was done",
    ):
        assert what in told.output
    assert scene.log.history().events == before
    assert scene.registry.packages.versions("fraud") == [1]


def test_a_person_puts_it_in_force_in_their_name(scene: Scene) -> None:
    scene.stream(rate=TRIPLED)
    done = run(scene, "--by", "ada", "--reason", "after the holidays")
    assert done.exit_code == 0
    registered, promoted = scene.log.history().events[-2:]
    assert (registered.action, registered.actor) == ("registered", ACTOR)
    assert (promoted.action, promoted.actor, promoted.reason) == ("promoted", "ada", "after the holidays")
    assert scene.log.history().champion("fraud") == promoted
    assert promoted.event_id in done.output


def test_where_nothing_is_to_be_gained_a_person_is_told_what_lacks(scene: Scene) -> None:
    scene.stream()
    refused = run(scene)
    assert isinstance(refused.exception, RefusedError)
    assert "is needed" in str(refused.exception)
    assert len(scene.log.history().events) == 2
