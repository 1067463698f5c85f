"""Estimates of what another policy earns: on logs whose truth is known."""

import numpy as np
import pytest

from services.training.recommendation.explored import Explored, estimates, judged
from services.training.recommendation.off_policy import (
    Logged,
    difference,
    doubly_robust,
    inverse_propensity,
    self_normalised,
)

CLICK_RATES = np.array([0.05, 0.1, 0.2, 0.4])
TARGET = np.array([0.1, 0.15, 0.2, 0.55])
TRUTH = float(TARGET @ CLICK_RATES)
SHOPPERS, VISITS = 300, 5


def world(seed: int) -> Logged:
    """A log of a policy that mostly shows the worst item; shoppers differ in how readily they click."""
    random = np.random.default_rng(seed)
    logging = np.array([0.55, 0.2, 0.15, 0.1])
    shoppers = np.repeat(np.arange(SHOPPERS), VISITS)
    shown = random.choice(4, len(shoppers), p=logging)
    eagerness = random.uniform(0.5, 1.5, SHOPPERS)[shoppers]
    clicked = random.random(len(shoppers)) < CLICK_RATES[shown] * eagerness
    return Logged(logging[shown], TARGET[shown], clicked.astype(np.float64), shoppers)


def test_the_estimates_are_right_on_average_and_their_intervals_hold_the_truth() -> None:
    logs = [world(seed) for seed in range(200)]
    for estimate in (inverse_propensity, self_normalised):
        found = [estimate(log) for log in logs]
        values = np.array([each.value for each in found])
        assert abs(values.mean() - TRUTH) < 4 * values.std() / np.sqrt(len(values))
        held = np.mean([each.low <= TRUTH <= each.high for each in found])
        assert 0.9 <= held <= 0.99


def test_the_model_of_the_reward_steadies_the_estimate_and_a_wrong_one_does_not_mislead_it() -> None:
    random = np.random.default_rng(0)
    plain, steadied, misled = [], [], []
    for seed in range(200):
        log = world(seed)
        shown = np.array([np.flatnonzero(p == TARGET)[0] for p in log.target_probabilities])
        plain.append(inverse_propensity(log).value)
        steadied.append(doubly_robust(log, CLICK_RATES[shown], np.full(len(shown), TRUTH)).value)
        wrong = random.random(4)
        misled.append(doubly_robust(log, wrong[shown], np.full(len(shown), float(TARGET @ wrong))).value)
    assert np.std(steadied) < np.std(plain)
    assert abs(np.mean(steadied) - TRUTH) < 4 * np.std(steadied) / np.sqrt(200)
    assert abs(np.mean(misled) - TRUTH) < 4 * np.std(misled) / np.sqrt(200)


def test_shoppers_whose_choices_are_alike_widen_the_interval() -> None:
    log = world(1)
    apart = Logged(log.propensities, log.target_probabilities, log.rewards, np.arange(len(log.rewards)))
    four = np.repeat(np.arange(len(log.rewards)), 4)
    alike = Logged(log.propensities[four], log.target_probabilities[four], log.rewards[four], four)
    width, repeated = (high - low for _, low, high, *_ in (inverse_propensity(apart), inverse_propensity(alike)))
    assert repeated == pytest.approx(width, rel=0.01)


def test_the_difference_of_two_policies_is_surer_than_each_alone() -> None:
    log = world(2)
    near = Logged(log.propensities, 0.9 * log.target_probabilities + 0.025, log.rewards, log.shoppers)
    one, other = inverse_propensity(log), inverse_propensity(near)
    value, low, high = difference(one, other, log.shoppers)
    assert low < value < high
    assert high - low < one.high - one.low


def test_a_log_that_cannot_be_judged_is_refused_with_a_reason() -> None:
    nothing = np.empty(0)
    with pytest.raises(ValueError, match="exploration"):
        Logged(nothing, nothing, nothing, np.empty(0, dtype=np.int64))
    with pytest.raises(ValueError, match="propensity 0"):
        Logged(np.zeros(1), np.ones(1), np.ones(1), np.zeros(1, dtype=np.int64))
    never = Logged(np.ones(3), np.zeros(3), np.ones(3), np.arange(3))
    with pytest.raises(ValueError, match="more exploration"):
        self_normalised(never)


def test_explored_places_give_the_truth_of_a_policy_that_was_never_run() -> None:
    """The pools differ from place to place; the judged policy takes the candidate with the largest context."""
    random = np.random.default_rng(3)
    explored, truth = [], []
    for place in range(3_000):
        contexts = np.column_stack([np.ones(5), random.normal(size=5)])
        rates = 1 / (1 + np.exp(2 - contexts[:, 1]))
        odds = np.full(5, 0.1)
        odds[0] += 0.5
        chosen = int(random.choice(5, p=odds))
        best = int(contexts[:, 1].argmax())
        truth.append(rates[best])
        clicked = bool(random.random() < rates[chosen])
        explored.append(Explored(f"user-{place % 500}", (), tuple("abcde"), contexts, odds, chosen, clicked))
    choices = [np.eye(5)[each.contexts[:, 1].argmax()] for each in explored]
    found = estimates(judged(explored, choices))
    for estimate in found:
        assert estimate.low - 0.01 <= np.mean(truth) <= estimate.high + 0.01
    steadied, plain = found.doubly_robust, found.inverse_propensity
    assert steadied.high - steadied.low < plain.high - plain.low
