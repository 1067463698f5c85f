"""A training run as a whole: what it leaves behind, what it refuses, and what it does not do twice."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from services.local.ports import choose_ports
from services.training.handlers import ArchiveHandler
from services.training.outcome import Step
from services.training.trainer import Trainer
from shared.contracts.events import ModelEvent
from shared.contracts.ids import derived_event_id
from shared.features.catalog.fraud import FRAUD
from shared.features.definitions import Field
from shared.features.state import category_value
from shared.models.manifest import MODEL_NAME, Manifest
from shared.models.registry import Registry
from shared.models.session import OnnxModel
from shared.runtime.clock import SystemClock
from shared.runtime.loop import Delivery
from tests.events import TRACE_ID
from tests.models import flip_a_byte, local_registry
from tests.unit.training.training_scene import World, archive, settings, world

NOW = datetime(2026, 4, 1, tzinfo=UTC)


class Scene:
    """An archive, a registry, and runs over them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.archive = archive(home)
        self.registry = local_registry(home)
        self.parts: list[str] = []

    def archived(self, *scenes: World) -> "Scene":
        for number, scene in enumerate(scenes):
            moved = [
                Delivery(record._replace(offset=record.offset + number * 10_000), event)
                for record, event in scene.deliveries()
            ]
            ArchiveHandler(self.archive)(moved)
        return self

    def run(
        self, champion: ModelEvent | None = None, *, registry: Registry | None = None, **changes: Any
    ) -> list[Step]:
        self.parts = []
        trainer = Trainer(
            self.archive,
            registry or self.registry,
            FRAUD,
            settings(self.home, **changes),
            SystemClock(),
            show=lambda part, _: self.parts.append(part),
        )
        return trainer.run(champion, now=NOW)

    def model(self, step: Step) -> OnnxModel:
        manifest, onnx = self.registry.load(MODEL_NAME, step.model_version, digest=step.model_digest)
        return OnnxModel(manifest, onnx)

    def manifest(self, step: Step) -> Manifest:
        return self.registry.manifest(MODEL_NAME, step.model_version)

    def reused(self) -> str:
        return next((part for part in self.parts if part.startswith("reused")), "")


def promotion(step: Step) -> ModelEvent:
    return ModelEvent(
        event_id=derived_event_id(NOW, "promoted", str(step.model_version)),
        occurred_at=NOW,
        trace_id=TRACE_ID,
        model_name=MODEL_NAME,
        model_version=step.model_version,
        action="promoted",
        model_digest=step.model_digest,
        manifest_digest=step.manifest_digest,
        feature_version=FRAUD.version,
        actor="test",
        reason="a test",
        previous_digest=None,
    )


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, ModelEvent]:
    """Twelve days, a champion trained on them, and eight more days with a new pattern."""
    scene = Scene(tmp_path_factory.mktemp("grown")).archived(world(days=12))
    champion = promotion(scene.run()[-1])
    scene.archived(World([], []), world(days=8, first_day=12, new_pattern_from_day=13))
    return scene, champion


def test_a_version_comes_with_a_report_a_card_and_where_it_comes_from(tmp_path: Path) -> None:
    scene = Scene(tmp_path).archived(world(days=12))
    registered, promoted = scene.run()
    assert (registered.action, promoted.action) == ("registered", "promoted")
    manifest = scene.manifest(promoted)
    low, high = manifest.intervals["average_precision"]
    assert low <= manifest.metrics["average_precision"] <= high
    assert manifest.data_digest == registered.data_digest
    assert manifest.code_commit
    (report,) = (tmp_path / "mlflow-artifacts").rglob("report.html")
    assert "average precision" in report.read_text().lower()
    (card,) = (tmp_path / "mlflow-artifacts").rglob("card.md")
    assert manifest.data_digest in card.read_text()


def test_a_second_run_trains_nothing_that_did_not_change(tmp_path: Path) -> None:
    scene = Scene(tmp_path).archived(world(days=12))
    first = scene.run()
    assert scene.reused() == ""
    again = scene.run()
    assert scene.reused() == "reused from earlier runs: stand-in 1, stand-in 2, model"
    assert again[-1].model_digest == first[-1].model_digest


def test_a_search_with_one_more_candidate_tries_only_that_one(tmp_path: Path) -> None:
    scene = Scene(tmp_path).archived(world(days=12))
    search: dict[str, Any] = {"families": "logistic_l2,decision_tree", "search_seconds": 600.0}
    scene.run(**search, candidates_max=2)
    assert scene.reused() == ""
    scene.run(**search, candidates_max=3)
    reused, of_all = map(int, re.findall(r"(\d+) of (\d+) trials", scene.reused())[0])
    assert 2 <= reused < of_all


def test_a_new_pattern_makes_a_better_model_and_says_how_surely(grown: tuple[Scene, ModelEvent]) -> None:
    scene, champion = grown
    registered, promoted = scene.run(champion)
    assert promoted.action == "promoted"
    assert "better than version 1" in promoted.reason
    assert promoted.metrics["p_value"] <= 0.05
    assert registered.model_version == 2


def test_the_champion_is_carried_on_with_what_is_new_to_it(grown: tuple[Scene, ModelEvent]) -> None:
    scene, champion = grown
    registered, promoted = scene.run(champion, start="champion")
    assert promoted.action == "promoted", promoted.reason
    manifest = scene.manifest(registered)
    assert "carried on from" in manifest.estimator
    assert manifest.training_rows < 1_000  # the eight new days, less those that have not matured
    assert not any(part == "searching" for part in scene.parts)


def test_a_specialist_scores_its_segment_and_the_others_stay_with_the_model_of_all(
    grown: tuple[Scene, ModelEvent],
) -> None:
    scene, _ = grown
    of_all, with_specialist = (
        scene.model(scene.run(segment=segment)[-1]) for segment in (None, f"channel={category_value(Field.CHANNEL, 0)}")
    )
    rows = np.array([vector.values for vector in world(days=2, first_day=40).vectors], dtype=np.float32)
    inside = rows[:, FRAUD.feature_names.index("channel")] == 0
    # Outside it they differ by their calibration only, which changes no order.
    alike = [spearmanr(of_all.scores(rows[at]), with_specialist.scores(rows[at])).statistic for at in (~inside, inside)]
    assert alike[0] > 0.9999
    assert alike[1] < alike[0]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"families": "random_forest,magic"}, "magic"),
        ({"segment": "planet=mars"}, "no category planet"),
        ({"start": "champion"}, "nothing to carry on"),
    ],
)
def test_settings_that_name_what_there_is_not_are_refused(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    (refused,) = Scene(tmp_path).archived(world(days=12)).run(**changes)
    assert (refused.action, refused.model_version) == ("refused", 0)
    assert told in refused.reason


@pytest.mark.parametrize(
    ("changes", "rail"),
    [
        ({"calibration_error_max": 1e-9}, "calibration"),
        ({"latency_microseconds_max": 1e-3}, "latency"),
    ],
)
def test_a_model_beyond_a_guard_rail_is_registered_and_not_promoted(
    tmp_path: Path, changes: dict[str, Any], rail: str
) -> None:
    registered, refused = Scene(tmp_path).archived(world(days=12)).run(**changes)
    assert (registered.action, refused.action) == ("registered", "refused")
    assert refused.model_version == registered.model_version == 1
    assert rail in refused.reason


def test_a_held_out_part_of_one_class_is_refused_and_the_run_is_marked_so(tmp_path: Path) -> None:
    scene = world(days=12)
    first_late = scene.vectors[0].occurred_at + 0.6 * (scene.vectors[-1].occurred_at - scene.vectors[0].occurred_at)
    late = {vector.transaction.transaction_id for vector in scene.vectors if vector.occurred_at > first_late}
    scene.labels[:] = [label for label in scene.labels if label.transaction_id not in late]
    (refused,) = Scene(tmp_path).archived(scene).run()
    assert "held-out payments hold 0 frauds" in refused.reason


def test_without_mlflow_a_run_is_refused_with_its_address(tmp_path: Path) -> None:
    scene = Scene(tmp_path).archived(world(days=12))
    address = f"http://127.0.0.1:{choose_ports([None])[0]}"
    (refused,) = scene.run(registry=Registry(tmp_path / "elsewhere", tracking_uri=address))
    assert address in refused.reason


def test_what_reviewers_can_do_moves_the_thresholds(tmp_path: Path) -> None:
    scene = Scene(tmp_path).archived(world(days=12))
    usual, changed = (scene.manifest(scene.run(reviews_a_day_max=most)[-1]) for most in (None, 2))
    assert changed.thresholds != usual.thresholds


def test_a_worse_model_is_refused(grown: tuple[Scene, ModelEvent]) -> None:
    scene, _ = grown
    better = promotion(scene.run()[-1])
    scene.archived(World([], []), World([], []), world(days=6, first_day=20, new_pattern_from_day=20))
    registered, refused = scene.run(better, families="segment_distance")
    assert refused.action == "refused"
    assert refused.model_version == registered.model_version


def test_a_champion_that_is_gone_is_replaced(tmp_path: Path) -> None:
    scene = Scene(tmp_path).archived(world(days=12))
    champion = promotion(scene.run()[-1])
    for kept in tmp_path.rglob("model.onnx"):
        flip_a_byte(kept)
    promoted = scene.run(champion)[-1]
    assert promoted.action == "promoted"
    assert "the champion cannot be loaded" in promoted.reason


def test_a_run_that_can_make_no_model_says_why(tmp_path: Path) -> None:
    without_labels = world(days=12)
    without_labels.labels.clear()
    (refused,) = Scene(tmp_path).archived(without_labels).run()
    assert (refused.action, refused.model_version, refused.model_digest) == ("refused", 0, None)
    assert "send labels" in refused.reason


def test_a_damaged_archive_is_told_to_whoever_asked(tmp_path: Path) -> None:
    scene = Scene(tmp_path).archived(world(days=12))
    broken = sorted((tmp_path / "archive" / "features").rglob("*.parquet"))[3]
    broken.write_bytes(b"noise")
    (refused,) = scene.run()
    assert str(broken) in refused.reason
