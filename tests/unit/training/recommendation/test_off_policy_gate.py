"""The log of explored places, held against a new recommender."""

import numpy as np
import pytest

from services.training.recommendation.explored import Explored
from services.training.recommendation.off_policy_gate import choice, judge
from services.training.recommendation.recommender import Component, Neighbours, Recommender
from shared.models.recommender import RecommenderModel
from tests.recommenders import loaded

ITEMS = ("seen", "good", "fair", "bad")
CLICK_RATES = {"good": 0.5, "fair": 0.3, "bad": 0.1}


def recommender(**strengths: float) -> RecommenderModel:
    """Return a model that follows the item "seen" by others, as strongly as said."""
    neighbours = np.tile(np.arange(4, dtype=np.int32), (4, 1))
    row = np.array([strengths.get(item, 0.0) for item in ITEMS], dtype=np.float32)
    table = Neighbours(neighbours, np.vstack([row, np.zeros((3, 4), dtype=np.float32)]))
    return loaded(
        Recommender(
            item_ids=ITEMS,
            components=(Component("follows", table, 1.0),),
            popularity=np.zeros((1, 4), dtype=np.float32),
            popularity_weight=0.0,
            segments=(),
            segment_attribute=None,
            kind_weights={"view": 1.0},
            half_life_seconds=None,
        )
    )


def log(places: int, *, seed: int = 0) -> list[Explored]:
    """Return what a bandit showed that took each of three items as often."""
    random = np.random.default_rng(seed)
    pool, odds = ("good", "fair", "bad"), np.full(3, 1 / 3)
    explored = []
    for place in range(places):
        chosen = int(random.integers(3))
        clicked = bool(random.random() < CLICK_RATES[pool[chosen]])
        explored.append(Explored(f"user-{place}", ("seen",), pool, np.eye(3), odds, chosen, clicked))
    return explored


def test_a_recommender_fills_a_place_with_what_it_ranks_first_and_knows() -> None:
    model = recommender(fair=0.9, good=0.1)
    place = Explored("user-1", ("seen",), ("new", "good", "fair"), np.eye(3), np.full(3, 1 / 3), 0, clicked=False)
    assert choice(model, place).tolist() == [0, 0, 1]
    unknown = Explored("user-1", ("seen",), ("new", "newer"), np.eye(2), np.full(2, 1 / 2), 0, clicked=False)
    assert choice(model, unknown).tolist() == [1, 0]


def test_a_candidate_that_surely_earns_less_is_kept_out() -> None:
    verdict = judge(log(1_500), candidate=recommender(bad=1.0), champion=recommender(good=1.0))
    assert not verdict.passed
    assert verdict.lead is not None
    assert verdict.lead[1] <= CLICK_RATES["bad"] - CLICK_RATES["good"] <= verdict.lead[2]
    assert verdict.explanation.startswith("surely worse by the log")


def test_a_better_candidate_passes_and_its_gain_is_estimated() -> None:
    verdict = judge(log(1_500), candidate=recommender(good=1.0), champion=recommender(fair=1.0))
    assert verdict.passed
    assert verdict.lead is not None
    assert verdict.lead[1] <= CLICK_RATES["good"] - CLICK_RATES["fair"] <= verdict.lead[2]
    assert verdict.candidate is not None
    for estimate in verdict.candidate:
        assert estimate.value == pytest.approx(CLICK_RATES["good"], abs=0.08)


def test_equals_pass_with_a_lead_of_nothing() -> None:
    verdict = judge(log(600), candidate=recommender(good=1.0), champion=recommender(good=0.7))
    assert verdict.passed
    assert verdict.lead == (0.0, 0.0, 0.0)


def test_too_few_explored_places_judge_nobody_and_say_so() -> None:
    for explored in ([], log(60)):
        verdict = judge(explored, candidate=recommender(bad=1.0), champion=recommender(good=1.0))
        assert verdict.passed
        assert verdict.explanation.startswith("not judged by the log")
