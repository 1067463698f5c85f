"""`headrace models` on a real registry and the log in memory: what a person sees, and what is announced."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli import models as command
from services.cli import releases
from services.training.model_log import ModelLog
from services.training.refusal import RefusedError
from shared.bus.memory import MemoryBus
from shared.contracts.chain import first_broken_link
from shared.contracts.events import ModelEvent
from shared.contracts.topics import LABELS, SHADOWS, TOPICS
from shared.features.catalog.fraud import FRAUD
from shared.models.packages import ModelIntegrityError
from tests.events import START
from tests.models import flip_a_byte, forget_packages, local_registry, onnx_bytes, register, registered
from tests.unit.cli.test_commands import headrace
from tests.unit.training.test_shadows import frauds, shadows
from tests.unit.training.training_scene import AMOUNT, COUNT, archive, delivered, world

WIDTH = len(FRAUD.feature_names)
LONG_AGO = START - timedelta(days=30)


class Scene:
    """A home with an MLflow, a log, and versions registered in both."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.bus = MemoryBus(partitions=1)
        self.bus.create_topics(TOPICS)
        self.log = ModelLog(self.bus)
        self.registry = local_registry(home)

    def register(self, *, column: int = AMOUNT, feature_version: str = FRAUD.version) -> ModelEvent:
        manifest, manifest_digest = register(
            self.registry,
            onnx_bytes(WIDTH, column),
            feature_names=FRAUD.feature_names,
            feature_version=feature_version,
            trained_until=LONG_AGO,
        )
        [event] = self.log.append(lambda _: [registered(manifest, manifest_digest)])
        return event

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(command.models, [*words, "--home", str(self.home)])

    def events(self) -> Sequence[ModelEvent]:
        return self.log.history().events


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene(tmp_path)
    for module in (command, releases):
        monkeypatch.setattr(module, "open_bus", lambda _: made.bus)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return made


def line_of(result: Result, beginning: str) -> str:
    (line,) = (line for line in result.output.splitlines() if line.startswith(beginning))
    return line


def test_a_promotion_is_announced_marked_and_shown(scene: Scene) -> None:
    scene.register()
    second = scene.register()
    scene.run("promote", "1", "--reason", "the first", "--by", "anna")
    done = scene.run("promote", "2", "--reason", "less fraud", "--by", "bert")
    assert done.exit_code == 0
    event = scene.events()[-1]
    assert (event.action, event.model_version, event.actor, event.reason) == ("promoted", 2, "bert", "less fraud")
    assert (event.model_digest, event.manifest_digest) == (second.model_digest, second.manifest_digest)
    assert event.event_id in done.output
    shown = scene.run("list")
    assert "in force" in line_of(shown, "2*")
    assert "0.75 [0.7, 0.8]" in line_of(shown, "2*")
    assert "replaced" in line_of(shown, "1 ")
    assert first_broken_link((record.value for record in scene.log.records()), ModelEvent) is None


def test_mlflow_shows_the_version_in_force_as_champion(scene: Scene) -> None:
    scene.register()
    scene.register()
    for words in (["promote", "1"], ["promote", "2"], ["rollback"]):
        assert scene.run(*words, "--reason", "test").exit_code == 0
    from mlflow import MlflowClient  # noqa: PLC0415 - after the registry has imported it, which keeps it quiet

    client = MlflowClient(f"sqlite:///{scene.home / 'mlflow.db'}")
    assert int(client.get_model_version_by_alias("fraud", "champion").version) == 1


def test_a_rollback_returns_to_the_version_before(scene: Scene) -> None:
    first = scene.register()
    scene.register()
    scene.run("promote", "1", "--reason", "the first")
    scene.run("promote", "2", "--reason", "the second")
    assert scene.run("rollback").exit_code == 0
    event = scene.events()[-1]
    assert (event.action, event.model_version, event.model_digest) == ("rolled_back", 1, first.model_digest)
    assert "in force" in line_of(scene.run("list"), "1*")
    refused = scene.run("rollback")
    assert refused.exit_code == 1
    assert "no earlier version" in str(refused.exception)


def test_an_archived_version_is_hidden_and_stays_away(scene: Scene) -> None:
    scene.register()
    scene.register()
    assert scene.run("archive", "1", "--reason", "made by mistake").exit_code == 0
    assert not any(line.startswith("1 ") for line in scene.run("list").output.splitlines())
    assert "archived" in line_of(scene.run("list", "--all"), "1 ")
    assert isinstance(scene.run("promote", "1", "--reason", "back").exception, RefusedError)
    assert scene.run("show", "1").exit_code == 0


def test_a_version_for_other_features_is_not_promoted(scene: Scene) -> None:
    scene.register(feature_version="0" * 64)
    refused = scene.run("promote", "1", "--reason", "try")
    assert isinstance(refused.exception, RefusedError)
    assert [event.action for event in scene.events()] == ["registered"]
    assert f"old {'0' * 8}" in scene.run("list").output


def test_a_version_whose_files_were_changed_everywhere_is_not_promoted(scene: Scene) -> None:
    scene.register()
    for path in scene.home.rglob("model.onnx"):
        flip_a_byte(path)
    refused = scene.run("promote", "1", "--reason", "try")
    assert isinstance(refused.exception, ModelIntegrityError)
    assert [event.action for event in scene.events()] == ["registered"]


def test_with_mlflow_gone_a_promotion_still_takes_effect_and_says_what_is_missing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.register()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    done = scene.run("promote", "1", "--reason", "urgent")
    assert done.exit_code == 0
    assert scene.events()[-1].action == "promoted"
    assert "MLflow does not show it" in done.output
    assert "not known: MLflow at http://127.0.0.1:1" in scene.run("show", "1").output


def test_show_tells_digests_figures_life_and_where_the_report_lies(scene: Scene) -> None:
    event = scene.register()
    scene.run("promote", "1", "--reason", "the first", "--by", "anna")
    forget_packages(scene.home)
    shown = scene.run("show", "1").output
    for told in (
        "1 (in force)",
        "logistic_l2(C=1)",
        str(event.model_digest),
        str(event.manifest_digest),
        str(event.data_digest),
        FRAUD.version,
        "0.75 [0.7, 0.8]",
        "registered by training: passed the export gate",
        "promoted by anna: the first",
        "mlflow-artifacts/fraud/",
    ):
        assert told in shown


def test_compare_finds_the_better_of_two_on_payments_new_to_both(scene: Scene) -> None:
    archive(scene.home).write(world(days=12, a_day=200).deliveries())
    scene.register(column=COUNT)
    scene.register(column=AMOUNT)
    better = scene.run("compare", "1", "2")
    assert "version 2 is better: a lead of +" in better.output
    assert "new to both" in better.output
    assert "no proof that version 1 is better" in scene.run("compare", "2", "1").output


def test_trials_are_announced_with_share_person_and_reason_and_shown(scene: Scene) -> None:
    for _ in range(4):
        scene.register()
    scene.run("promote", "1", "--reason", "the first")
    assert scene.run("shadow", "2", "--reason", "look at it", "--by", "anna").exit_code == 0
    assert scene.run("shadow", "3", "--reason", "and at this").exit_code == 0
    done = scene.run("canary", "4", "--share", "0.05", "--reason", "with care", "--by", "bert")
    assert "version 4 was made the canary for 0.05 of the cards" in done.output
    event = scene.events()[-1]
    assert (event.action, event.model_version, event.share) == ("canaried", 4, 0.05)
    assert (event.actor, event.reason) == ("bert", "with care")
    assert scene.run("withdraw", "3", "--reason", "slow").exit_code == 0
    shown = scene.run("list")
    for version, state in ((1, "in force"), (2, "challenger"), (3, "withdrawn"), (4, "canary, 5 %")):
        assert state in line_of(shown, f"{version}{'*' if version == 1 else ' '}")
    assert first_broken_link((record.value for record in scene.log.records()), ModelEvent) is None


def test_a_rollback_is_one_command_and_leaves_no_canary(scene: Scene) -> None:
    for version in ("1", "2", "3"):
        scene.register()
        if version != "3":
            scene.run("promote", version, "--reason", "better")
    scene.run("canary", "3", "--share", "0.5", "--reason", "bold")
    assert scene.run("rollback").exit_code == 0
    shown = scene.run("list")
    assert "in force" in line_of(shown, "1*")
    assert "canary before" in line_of(shown, "3 ")


def test_a_version_whose_files_were_changed_is_not_tried(scene: Scene) -> None:
    for _ in range(2):
        scene.register()
    scene.run("promote", "1", "--reason", "the first")
    for path in scene.home.rglob("model.onnx"):
        flip_a_byte(path)
    for words in (["shadow", "2"], ["canary", "2", "--share", "0.1"]):
        assert isinstance(scene.run(*words, "--reason", "try").exception, ModelIntegrityError)
    assert scene.events()[-1].action == "promoted"


def test_a_share_beyond_all_cards_is_refused(scene: Scene) -> None:
    scene.register()
    scene.register()
    scene.run("promote", "1", "--reason", "the first")
    refused = scene.run("canary", "2", "--share", "1.5", "--reason", "all of them")
    assert isinstance(refused.exception, RefusedError)
    assert "$.share" in str(refused.exception)


def test_shadow_report_shows_verdicts_scores_and_what_labels_say(scene: Scene) -> None:
    kept = archive(scene.home)
    kept.write(delivered(SHADOWS, shadows()))
    kept.write(delivered(LABELS, frauds()))
    shown = scene.run("shadow-report", "2")
    assert shown.exit_code == 0
    for told in ("500 payments from", "decided by version 1, 3", "the same verdict on ", "over 500 payments"):
        assert told in shown.output
    assert line_of(shown, "decided ").split("would")[1:] == [" approve  2 ", " review  2 ", " decline"]
    assert "average precision" in shown.output
    assert "ROC AUC" in shown.output
    assert isinstance(scene.run("shadow-report", "3").exception, RefusedError)


@pytest.mark.parametrize("words", [["show", "1"], ["promote", "1", "--reason", "x"], ["archive", "1", "--reason", "x"]])
def test_an_unknown_version_is_refused_by_name(scene: Scene, words: list[str]) -> None:
    refused = scene.run(*words)
    assert refused.exit_code == 1
    assert "no version 1 of fraud was ever registered" in str(refused.exception)


@pytest.mark.parametrize("words", [["list"], ["rollback"], ["promote", "1", "--reason", "x"]])
def test_without_a_platform_one_line_says_how_to_get_one(tmp_path: Path, words: list[str]) -> None:
    refused = headrace("models", *words, home=tmp_path)
    assert refused.returncode == 1
    [line] = refused.stderr.splitlines()
    assert "`headrace up`" in line


def test_without_models_list_says_how_to_get_one(scene: Scene) -> None:
    assert "headrace train" in scene.run("list").output
