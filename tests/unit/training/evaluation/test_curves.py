"""Pictures are drawn of whatever models score, and show what they are given."""

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from services.training.evaluation import curves
from services.training.evaluation.bootstrap import Interval
from services.training.evaluation.curves import Drawn, Period
from services.training.evaluation.importance import Importance
from services.training.evaluation.policy import DECLINE_NOTHING
from services.training.evaluation.scored import Scored
from shared.models.manifest import Thresholds
from tests.unit.training.evaluation.evaluation_scene import COSTS, scored, shuffled

LEVELS = Thresholds(review=0.05, decline=0.7)
OF_SCORES: dict[str, Callable[[Scored], bytes]] = {
    "precision_recall": lambda it: curves.precision_recall([Drawn("ours", it)]),
    "receiver_operating": lambda it: curves.receiver_operating([Drawn("ours", it)]),
    "reliability": lambda it: curves.reliability([Drawn("ours", it)]),
    "cost_by_threshold": lambda it: curves.cost_by_threshold(it, LEVELS, COSTS),
    "score_histogram": lambda it: curves.score_histogram(it, LEVELS),
}


def colours(png: bytes) -> set[str]:
    """Return the colours, as #rrggbb, that a picture holds at least twenty points of."""
    points = np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).reshape(-1, 3)
    found, counts = np.unique(points, axis=0, return_counts=True)
    return {f"#{red:02X}{green:02X}{blue:02X}" for red, green, blue in found[counts >= 20].tolist()}


@pytest.mark.parametrize("draw", OF_SCORES.values(), ids=OF_SCORES)
def test_the_same_scores_give_the_same_picture_and_others_another(draw: Callable[[Scored], bytes]) -> None:
    it = scored(payments=400)
    drawn = draw(it)
    assert draw(it) == drawn
    assert draw(shuffled(it, 1)) != drawn


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("draw", OF_SCORES.values(), ids=OF_SCORES)
@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_one_score_for_all_is_drawn(draw: Callable[[Scored], bytes], score: float) -> None:
    it = scored(payments=100)
    assert len(colours(draw(replace(it, scores=np.full_like(it.scores, score))))) > 1


@pytest.mark.parametrize("draw", [curves.precision_recall, curves.receiver_operating, curves.reliability])
def test_a_champion_has_a_colour_of_its_own(draw: Callable[[list[Drawn]], bytes]) -> None:
    it = scored(payments=400)
    alone, both = draw([Drawn("ours", it)]), draw([Drawn("ours", it), Drawn("theirs", shuffled(it, 1))])
    assert curves.BLUE in colours(alone) & colours(both)
    assert curves.ORANGE in colours(both) - colours(alone)


def test_thresholds_are_marked_where_they_are() -> None:
    it = scored(payments=400)
    moved = Thresholds(review=0.05, decline=0.5)
    nothing = Thresholds(review=0.05, decline=DECLINE_NOTHING)
    drawn = {curves.score_histogram(it, levels) for levels in (LEVELS, moved, nothing)}
    assert len(drawn) == 3


@pytest.mark.filterwarnings("error")
def test_periods_are_drawn_even_where_an_interval_cannot_be_told() -> None:
    unknown = Interval(0.5, float("nan"), float("nan"))
    periods = [
        Period("2024-10-04", {"ours": unknown}),
        Period("2024-10-06", {"ours": Interval(0.6, 0.5, 0.7), "theirs": Interval(0.4, 0.3, 0.5)}),
    ]
    assert {curves.BLUE, curves.ORANGE} <= colours(curves.average_precision_by_period(periods))


def test_only_the_most_important_features_are_drawn() -> None:
    many = [Importance(f"feature {at}", 1 / at, 1 / at, 1 / at) for at in range(1, 40)]
    assert curves.importances(many) == curves.importances(many[: curves.FEATURES_MAX])
    assert curves.importances(many) != curves.importances(many[:5])
