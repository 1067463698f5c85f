"""The thresholds that are chosen are the cheapest there are, as trying all of them shows."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from services.training.evaluation.policy import (
    DECLINE_NOTHING,
    Costs,
    choose_thresholds,
    cost_of,
    costs_by_review_threshold,
    outcomes,
)
from services.training.evaluation.scored import Scored
from services.training.refusal import RefusedError
from shared.models.manifest import Thresholds
from tests.unit.training.evaluation.evaluation_scene import COSTS, scored

CHEAP_REVIEWS = Costs(10, 1_500, 1_000, 0.1)
DEAR_REVIEWS = Costs(50_000, 1_500, 100, 0.0)


def small(seed: int) -> Scored:
    """Return 40 payments with coarse scores, many of them equal."""
    it = scored(seed, payments=40, rate=0.3, sharpness=1.0)
    return replace(it, scores=np.round(it.scores, 1).astype(np.float32))


def all_thresholds(it: Scored) -> list[Thresholds]:
    """Return every pair of thresholds that decides differently, review at or below decline."""
    scores = np.unique(it.scores).astype(np.float64)
    levels = [*((scores + np.append(0.0, scores[:-1])) / 2).tolist(), DECLINE_NOTHING]
    return [
        Thresholds(review=review, decline=decline)
        for review, decline in itertools.combinations_with_replacement(levels, 2)
    ]


def total(it: Scored, levels: Thresholds, costs: Costs) -> float:
    return float(cost_of(it, levels, costs).sum())


def most_reviews_a_day(it: Scored, levels: Thresholds) -> int:
    reviewed = it.at_or_above(levels.review) & ~it.at_or_above(levels.decline)
    return max((int(reviewed[it.days == day].sum()) for day in np.unique(it.days)), default=0)


@pytest.mark.parametrize("costs", [COSTS, CHEAP_REVIEWS, DEAR_REVIEWS])
@pytest.mark.parametrize("seed", range(10))
def test_no_other_thresholds_cost_less(seed: int, costs: Costs) -> None:
    it = small(seed)
    chosen = choose_thresholds(it, costs)
    assert chosen.review <= chosen.decline
    assert total(it, chosen, costs) == pytest.approx(min(total(it, levels, costs) for levels in all_thresholds(it)))


@pytest.mark.parametrize("capacity", [1, 2, 5])
@pytest.mark.parametrize("seed", range(10))
def test_reviewers_are_used_but_never_beyond_what_they_can_do(seed: int, capacity: int) -> None:
    it = small(seed)
    chosen = choose_thresholds(it, COSTS, reviews_a_day_max=capacity)
    assert most_reviews_a_day(it, chosen) <= capacity
    within = [levels for levels in all_thresholds(it) if most_reviews_a_day(it, levels) <= capacity]
    by_decline: dict[float, Thresholds] = {}
    for levels in within:
        lowest = by_decline.setdefault(levels.decline, levels)
        if levels.review < lowest.review:
            by_decline[levels.decline] = levels
    assert total(it, chosen, COSTS) == pytest.approx(min(total(it, levels, COSTS) for levels in by_decline.values()))
    assert chosen.review == by_decline[chosen.decline].review


def test_no_payment_stands_on_a_threshold() -> None:
    it = scored()
    chosen = choose_thresholds(it, COSTS)
    for level in (chosen.review, chosen.decline):
        above, below = it.scores[it.scores > level].min(), it.scores[it.scores < level].max()
        assert level == pytest.approx((float(above) + float(below)) / 2)


def test_what_never_pays_is_not_done() -> None:
    it = scored()
    equal = replace(it, scores=np.full_like(it.scores, 0.5))
    never = Costs(10**9, 0, 10**9, 0.0)
    assert choose_thresholds(equal, never) == Thresholds(review=DECLINE_NOTHING, decline=DECLINE_NOTHING)


def test_free_reviews_are_made_of_everything() -> None:
    it = scored()
    chosen = choose_thresholds(it, Costs(0, 1_500, 1_000, 0.1))
    assert total(it, chosen, Costs(0, 1_500, 1_000, 0.1)) == 0
    assert chosen.review < it.scores[it.frauds == 1].min()


def test_what_each_decision_costs() -> None:
    it = Scored(
        frauds=np.array([1, 0, 1, 0, 1, 0], dtype=np.int8),
        scores=np.array([0.1, 0.1, 0.5, 0.5, 0.9, 0.9], dtype=np.float32),
        cards=np.arange(6),
        times=np.arange(6),
        amounts=np.full(6, 2_000),
    )
    levels = Thresholds(review=0.3, decline=0.7)
    assert cost_of(it, levels, Costs(500, 1_500, 1_000, 0.1)).tolist() == [3_500, 0, 500, 500, 0, 1_200]
    assert outcomes(it, levels, COSTS) == (
        ("approve", 1, 2_000, 1, 2_000, 3_500.0),
        ("review", 1, 2_000, 1, 2_000, 1_000.0),
        ("decline", 1, 2_000, 1, 2_000, 1_200.0),
    )


def test_the_curve_of_costs_is_the_cost_at_each_threshold() -> None:
    it = small(4)
    levels, costs = costs_by_review_threshold(it, 0.65, COSTS)
    assert levels.tolist() == [*np.unique(it.scores[it.scores < 0.65]).tolist(), 0.65]
    for review, cost in zip(levels.tolist(), costs.tolist(), strict=True):
        assert cost == pytest.approx(total(it, Thresholds(review=review, decline=0.65), COSTS))


def test_where_all_is_declined_the_curve_is_one_point() -> None:
    it = small(4)
    levels, costs = costs_by_review_threshold(it, -1.0, COSTS)
    assert levels.tolist() == [-1.0]
    assert costs.tolist() == pytest.approx([total(it, Thresholds(review=-1.0, decline=-1.0), COSTS)])


@pytest.mark.parametrize("truth", [0, 1])
def test_thresholds_are_not_chosen_on_one_class_alone(truth: int) -> None:
    it = scored(payments=50)
    with pytest.raises(RefusedError) as refused:
        choose_thresholds(replace(it, frauds=np.full(50, truth, dtype=np.int8)), COSTS)
    assert refused.value.code == "one_class"


@pytest.mark.parametrize("cost", [-1.0, float("nan")])
def test_a_cost_below_nothing_is_not_taken(cost: float) -> None:
    with pytest.raises(ValueError, match="at least 0: review_minor_units"):
        Costs(cost, 1, 1, 0)
