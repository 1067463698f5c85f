"""A recalibration as a whole: what it leaves behind, when it is left alone, and what is not done twice."""

import logging
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from services.drift.champion import champion_of
from services.training.estimators.calibrated import Calibrated
from services.training.recalibration.recalibrator import ACTOR
from services.training.recipe import from_champion, keep
from services.training.refusal import RefusedError
from services.training.releases import Order
from services.training.search.steps import Steps
from services.training.settings import TrainingSettings
from shared.contracts.chain import first_broken_link
from shared.contracts.events import ModelEvent
from shared.models.manifest import RECALIBRATES
from shared.models.registry import Registry
from tests.model_events import model_event
from tests.unit.training.recalibration_scene import NOW, THRESHOLDS, TRIPLED, WIDTH, Scene
from tests.unit.training.training_scene import AMOUNT

ORDER = Order(ACTOR, "a test", NOW)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    made = Scene(tmp_path)
    made.champion()
    return made


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("services.training.recalib")]


def test_where_fraud_has_tripled_a_new_version_says_so_and_is_in_force(scene: Scene) -> None:
    scene.stream(rate=TRIPLED)
    registered, promoted = scene.job().look()
    assert [event.action for event in (registered, promoted)] == ["registered", "promoted"]
    assert {event.actor for event in (registered, promoted)} == {ACTOR}
    assert scene.log.history().champion("fraud") == promoted
    assert first_broken_link((record.value for record in scene.log.records()), ModelEvent) is None
    assert promoted.metrics["calibration_error_after"] < 0.7 * promoted.metrics["calibration_error_before"]
    assert promoted.metrics["cost_a_day_after_minor_units"] < promoted.metrics["cost_a_day_before_minor_units"]
    for what in ("ranks payments as it does", "policy with thresholds of its own keeps them", "lowers log loss by"):
        assert what in promoted.reason
    before, after = scene.model(scene.log.history().events[1]), scene.model(promoted)
    rows = np.zeros((200, WIDTH), dtype=np.float32)
    rows[:, AMOUNT] = np.linspace(-8, 4, 200)
    slope, intercept = (registered.metrics[f"recalibration_{name}"] for name in ("slope", "intercept"))
    assert after.scores(rows) == pytest.approx(expit(slope * rows[:, AMOUNT] + intercept), abs=1e-6)
    assert intercept > 0.5
    assert np.array_equal(np.argsort(before.scores(rows)), np.argsort(after.scores(rows)))


def test_its_manifest_serves_scoring_drift_and_the_next_training(scene: Scene) -> None:
    scene.stream(rate=TRIPLED)
    registered, promoted = scene.job().look()
    before, after = (scene.model(event).manifest for event in (scene.log.history().events[0], promoted))
    assert after.metrics[RECALIBRATES] == before.model_version
    assert (after.family, after.parameters) == (before.family, before.parameters)
    assert after.trained_until == before.trained_until
    assert after.thresholds == THRESHOLDS, "probabilities that are right need no others"
    watched = champion_of(promoted, 0, after)
    scores = np.linspace(0.001, 0.999, 999)
    log_odds = np.log(scores / (1 - scores))
    moved = expit(after.metrics["recalibration_slope"] * log_odds + after.metrics["recalibration_intercept"])
    assert (watched.references["score"].bins_of(moved) == before.references["score"].bins_of(scores)).all()
    assert after.metrics["average_precision"] == before.metrics["average_precision"]
    assert after.metrics["recall"] > before.metrics["recall"], "it reviews more"
    low, high = after.intervals["recall"]
    assert low <= after.metrics["recall"] <= high
    assert after.metrics["expected_calibration_error"] == promoted.metrics["calibration_error_after"]
    assert registered.data_digest != before.data_digest
    assert [probe.values for probe in after.probes] == [probe.values for probe in before.probes]


def test_the_next_training_may_carry_it_on(scene: Scene) -> None:
    steps, settings = Steps(scene.home / "steps"), TrainingSettings(headrace_home=scene.home)
    before = scene.model(scene.log.history().events[0]).manifest
    keep(Calibrated(LogisticRegression()), before.model_digest, steps)
    scene.stream(rate=TRIPLED)
    _, promoted = scene.job().look()
    after = scene.model(promoted).manifest
    assert after.model_digest != before.model_digest
    assert "carried on" in from_champion(after, settings, steps).told


def test_it_comes_with_a_report_and_a_card(scene: Scene) -> None:
    scene.stream(rate=TRIPLED)
    scene.job().look()
    (report,) = (scene.home / "mlflow-artifacts").rglob("report.html")
    assert "Expected calibration error" in report.read_text()
    (picture,) = (scene.home / "mlflow-artifacts").rglob("calibration.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    cards = [path.read_text() for path in (scene.home / "mlflow-artifacts").rglob("card.md")]
    assert any("Version 1 with its log odds times" in card for card in cards)


def test_the_new_version_is_judged_by_what_it_decided_itself(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    scene.stream(rate=TRIPLED)
    job = scene.job()
    job.look()
    assert job.look() == scene.job().look() == []
    assert "no payment that version 2 decided about has matured yet" in told(caplog)[-1]
    scene.stream(first_day=16, days=16, rate=TRIPLED, version=1)
    assert scene.job().look() == []


def test_what_was_overtaken_announces_nothing(scene: Scene) -> None:
    """Two processes that came to the same."""
    scene.stream(rate=TRIPLED)
    one, other = scene.recalibrator(), scene.recalibrator()
    same = [recalibrator.candidate() for recalibrator in (one, other)]
    assert same[0].proposal.line == same[1].proposal.line
    one.release(same[0], ORDER)
    before = scene.log.history().events
    with pytest.raises(RefusedError, match="another version came into force"):
        other.release(same[1], ORDER)
    assert scene.log.history().events == before


def test_a_champion_that_is_right_is_left_alone_and_that_is_told_once(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    scene.stream()
    job = scene.job()
    assert [job.look() for _ in range(3)] == [[], [], []]
    assert len(told(caplog)) == 1
    assert "is needed" in told(caplog)[0]


@pytest.mark.parametrize(("action", "fields"), [("shadowed", {}), ("canaried", {"share": 0.1})])
def test_while_another_version_is_tried_the_champion_stays_as_it_is(
    scene: Scene, action: str, fields: dict[str, float]
) -> None:
    scene.stream(rate=TRIPLED)
    tried = model_event(action, 7, **fields)  # type: ignore[arg-type]
    scene.log.append(lambda _: [tried])
    job = scene.job()
    assert job.look() == []
    scene.log.append(lambda _: [model_event("withdrawn", 7)])
    assert len(job.look()) == 2, "and afterwards it is looked at, by the same process too"


def test_a_trial_that_begins_meanwhile_ends_it(scene: Scene) -> None:
    scene.stream(rate=TRIPLED)
    recalibrator = scene.recalibrator()
    candidate = recalibrator.candidate()
    scene.log.append(lambda _: [model_event("shadowed", 7)])
    with pytest.raises(RefusedError, match="version 7 is being tried"):
        recalibrator.release(candidate, ORDER)


def test_while_a_training_run_is_judged_by_the_champion_it_stays_as_it_is(scene: Scene) -> None:
    scene.stream(rate=TRIPLED)
    note = scene.home / "attempts" / "a-request"
    note.parent.mkdir()
    note.write_text("begun\n")
    job = scene.job()
    assert job.look() == []
    note.unlink()
    assert len(job.look()) == 2


@pytest.mark.parametrize("labels", [(), ("fraud", "genuine")])
def test_without_frauds_by_the_latest_label_nothing_is_made(
    scene: Scene, labels: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    scene.stream(rate=TRIPLED, labels=labels)
    assert scene.job().look() == []
    assert "0 frauds have matured" in told(caplog)[0]


def test_payments_that_another_version_decided_about_say_nothing(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    scene.stream(rate=TRIPLED, version=3)
    assert scene.job().look() == []
    assert "no payment that version 1 decided about" in told(caplog)[0]


def test_while_mlflow_is_away_it_is_tried_again(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    scene.stream(rate=TRIPLED)
    database, aside = scene.home / "mlflow.db", scene.home / "aside.db"
    scene.registry = Registry(scene.home, tracking_uri=None)  # with nothing open yet
    database.rename(aside)
    database.mkdir()
    job = scene.job()
    assert job.look() == []
    assert "MLflow" in told(caplog)[-1]
    database.rmdir()
    aside.rename(database)
    assert len(job.look()) == 2
