"""A recommender's training run as a whole: what it registers, what it promotes and refuses, and why."""

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from services.training.outcome import Step
from services.training.recommendation.trainer import RecommendationTrainer
from shared.contracts.events import ModelEvent
from shared.contracts.ids import derived_event_id
from shared.contracts.shopping import Exploration, Impression, Interaction, ShownItem
from shared.contracts.topics import IMPRESSIONS
from shared.models.manifest import RECOMMENDATION, RecommendationManifest
from shared.models.recommender import RecommenderModel
from shared.runtime.clock import SystemClock
from tests.events import START, TRACE_ID
from tests.models import flip_a_byte, local_registry
from tests.unit.training.recommendation.shopping_scene import DAY, NOW, archived, settings, touch, visits
from tests.unit.training.training_scene import archive, delivered

OLD_TASTE, NEW_TASTE = "item-1-08", "item-1-14"
"""What follows item-1-07 in either."""


class Scene:
    """An archive, a registry, and runs over them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.registry = local_registry(home)
        self._archived = 0

    def archived(self, interactions: list[Interaction]) -> "Scene":
        archived(self.home, interactions, first_offset=self._archived)
        self._archived += len(interactions)
        return self

    def run(self, champion: ModelEvent | None = None, *, now: datetime = NOW, **changes: Any) -> list[Step]:
        trainer = RecommendationTrainer(
            archive(self.home), self.registry, settings(self.home, **changes), SystemClock()
        )
        return trainer.run(champion, now=now)

    def model(self, step: Step) -> RecommenderModel:
        return RecommenderModel(
            *self.registry.load(
                RECOMMENDATION,
                step.model_version,
                digest=step.model_digest,
                manifest_digest=step.manifest_digest,
                kind=RecommendationManifest,
            )
        )


def promotion(step: Step) -> ModelEvent:
    return ModelEvent(
        event_id=derived_event_id(NOW, "promoted", str(step.model_version)),
        occurred_at=NOW,
        trace_id=TRACE_ID,
        model_name=RECOMMENDATION,
        model_version=step.model_version,
        action="promoted",
        model_digest=step.model_digest,
        manifest_digest=step.manifest_digest,
        feature_version="b" * 64,
        actor="test",
        reason="a test",
        previous_digest=None,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, list[Step]]:
    scene = Scene(tmp_path_factory.mktemp("trained")).archived(visits())
    return scene, scene.run()


def test_the_first_model_goes_live_for_being_better_than_popularity_alone(trained: tuple[Scene, list[Step]]) -> None:
    scene, (registered, promoted) = trained
    assert (registered.action, promoted.action) == ("registered", "promoted"), promoted.reason
    assert "better than popularity alone" in promoted.reason
    assert promoted.metrics["p_value"] <= 0.05
    manifest = scene.model(promoted).manifest
    low, high = manifest.intervals["ndcg_at_10"]
    assert low <= manifest.metrics["ndcg_at_10"] == registered.metrics["ndcg_at_10"] <= high
    assert (manifest.training_rows, manifest.users, manifest.items) == (80 * 12, 80, 40)
    assert manifest.data_digest == registered.data_digest
    assert manifest.probes


def test_what_was_promoted_recommends_what_follows(trained: tuple[Scene, list[Step]]) -> None:
    scene, steps = trained
    model = scene.model(steps[-1])
    last = model.position("item-1-07")
    assert last is not None
    mask = np.ones(len(model.item_ids), dtype=np.bool_)
    mask[last] = False
    top = model.recommend(np.array([last]), np.ones(1, dtype=np.float32), mask, k=3)
    assert "item-1-08" in [model.item_ids[at] for at in top.items]


def test_a_version_comes_with_a_report_a_card_and_where_it_comes_from(trained: tuple[Scene, list[Step]]) -> None:
    scene, steps = trained
    folder = scene.home / "mlflow-artifacts"
    (report,) = folder.rglob("report.html")
    assert "popularity alone" in report.read_text()
    (figures,) = folder.rglob("metrics.json")
    told = msgspec.json.decode(figures.read_bytes())
    assert told["figures"]["the stand-in"]["ndcg_at_10"]["value"] == steps[0].metrics["ndcg_at_10"]
    (card,) = folder.rglob("card.md")
    assert steps[0].data_digest in card.read_text()  # type: ignore[operator]


def test_a_second_run_on_the_same_data_has_nothing_to_prove_itself_on(trained: tuple[Scene, list[Step]]) -> None:
    scene, steps = trained
    (refused,) = scene.run(promotion(steps[-1]))
    assert (refused.action, refused.model_version) == ("refused", 0)
    assert "ask again when more interactions have come" in refused.reason


def test_more_of_the_same_is_not_surely_better(tmp_path: Path) -> None:
    scene = Scene(tmp_path).archived(visits())
    champion = promotion(scene.run()[-1])
    scene.archived(visits(first_day=20, days=10, touches=8))
    registered, refused = scene.run(champion)
    assert (registered.action, refused.action) == ("registered", "refused")
    assert "not surely better than version 1" in refused.reason


def test_a_change_of_taste_makes_a_better_model(tmp_path: Path) -> None:
    scene = Scene(tmp_path).archived(visits())
    champion = promotion(scene.run()[-1])
    scene.archived(visits(first_day=20, days=20, touches=20, step=7))
    _, promoted = scene.run(champion)
    assert promoted.action == "promoted", promoted.reason
    assert "better than version 1" in promoted.reason
    assert "coverage" not in promoted.reason


def test_a_champion_whose_file_is_damaged_is_replaced(tmp_path: Path) -> None:
    scene = Scene(tmp_path).archived(visits())
    champion = promotion(scene.run()[-1])
    for kept in tmp_path.rglob("model.onnx"):
        flip_a_byte(kept)
    promoted = scene.run(champion)[-1]
    assert promoted.action == "promoted"
    assert "the champion cannot be loaded" in promoted.reason


def test_noise_is_not_promoted(tmp_path: Path) -> None:
    """Where everyone touches anything, no history says more than popularity does."""
    random = np.random.default_rng(0)
    drawn = zip(random.integers(60, size=1_200), random.integers(50, size=1_200), strict=True)
    scene = Scene(tmp_path).archived(
        [touch(f"shopper-{one}", f"item-{other}", at=START + at * DAY / 50) for at, (one, other) in enumerate(drawn)]
    )
    last = scene.run()[-1]
    assert last.action == "refused"
    assert "popularity alone" in last.reason


def test_an_empty_archive_says_what_to_send(tmp_path: Path) -> None:
    (refused,) = Scene(tmp_path).run()
    assert (refused.action, refused.model_version) == ("refused", 0)
    assert "POST /v1/interactions" in refused.reason


def test_the_log_of_explored_places_is_asked_as_well(tmp_path: Path) -> None:
    """What was clicked where the bandit chose at random keeps a model out that would have chosen otherwise."""
    scene = Scene(tmp_path).archived(visits())
    champion = promotion(scene.run()[-1])
    scene.archived(visits(first_day=20, days=20, touches=40, step=7))
    shown = [explored(number, draw) for number, draw in enumerate(np.random.default_rng(0).integers(2, size=600))]
    archive(tmp_path).write(delivered(IMPRESSIONS, shown))
    scene.archived(
        [
            touch(each.user_id, OLD_TASTE, at=each.occurred_at, recommendation_id=each.recommendation_id)
            for each in shown
            if each.items[0].item_id == OLD_TASTE
        ]
    )
    _, last = scene.run(champion)
    assert last.action == "refused"
    assert last.reason.startswith("off-policy: surely worse by the log")


def explored(number: int, chosen: int) -> Impression:
    """Return an impression whose explored place held, with even odds, what followed in the old taste or in the new."""
    at = START + 39.9 * DAY + number * DAY / 10_000
    pool = [OLD_TASTE, NEW_TASTE]
    return Impression(
        event_id=derived_event_id(at, "impressions", str(number)),
        occurred_at=at,
        trace_id=TRACE_ID,
        recommendation_id=f"shown-{number}",
        user_id=f"shopper-{number % 80:03}",
        items=[ShownItem(item_id=pool[chosen], score=1.0, propensity=0.5)],
        recent=["item-1-07"],
        model_name=RECOMMENDATION,
        model_version=1,
        exploration=Exploration(
            place=0, pool=pool, scores=[1.0, 0.5], contexts=[[1.0], [0.0]], propensities=[0.5, 0.5], chosen=int(chosen)
        ),
    )
