"""What is recalibrated and what is not, on simulated champions whose error is known."""

import contextlib
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from services.training.evaluation.bootstrap import card_places
from services.training.evaluation.metrics import calibration_error
from services.training.evaluation.policy import Costs, choose_thresholds, cost_of
from services.training.evaluation.scored import DAY_US, Scored
from services.training.recalibration.looks import latest_look
from services.training.recalibration.proof import dispersion, line_evidence, saving_evidence
from services.training.recalibration.proposal import UNCHANGED, Proposal, Terms, propose
from services.training.refusal import RefusedError
from shared.models.manifest import Thresholds

COSTS = Costs(500, 1_500, 1_000, 0.1)
TERMS = Terms(COSTS, reviews_a_day_max=None, gain_min=0.005, error_rate=0.05)
CHAMPIONS = 200
TRIPLED = float(np.log(3))


def decided(
    seed: int, *, days: int = 20, a_day: int = 60, rate: float = 0.0, from_day: float = 0.0, cards_alike: float = 0.0
) -> Scored:
    """Return payments with a champion's scores; log odds of fraud are higher by `rate` from `from_day` on.

    cards_alike: standard deviation of what a card adds to its log odds, which leaves the rate of fraud as it is.
    """
    rng = np.random.default_rng(seed)
    count = days * a_day
    times = np.sort(rng.uniform(0, days * DAY_US, count).astype(np.int64))
    log_odds = rng.normal(-3.2, 1.5, count)
    cards = rng.integers(200, size=count)
    of_card = rng.normal(-(cards_alike**2) / 2, cards_alike, 200)
    true = log_odds + of_card[cards] + rate * (times >= from_day * DAY_US)
    frauds = (rng.random(count) < expit(true)).astype(np.int8)
    amounts = rng.lognormal(8.0, 1.0, count).astype(np.int64)
    return Scored(frauds, expit(log_odds).astype(np.float32), cards, times, amounts)


def best_thresholds(**champion: float) -> Thresholds:
    return choose_thresholds(decided(10_000, days=300, a_day=200, **champion), COSTS)


def ever_recalibrated(scored: Scored, thresholds: Thresholds) -> Proposal | None:
    """Return what the first look that succeeds comes to, looking after every day."""
    looked = 0
    for day in range(int(scored.days[-1]) + 1):
        with contextlib.suppress(RefusedError):
            look = latest_look(scored.part(scored.days <= day), frauds_min=30, days_min=2.0)
            if look.number > looked:
                looked = look.number
                return propose(look, thresholds, TERMS)
    return None


def moved(scored: Scored, made: Proposal) -> Scored:
    log_odds = logit(scored.scores.astype(np.float64))
    return replace(scored, scores=expit(made.line.slope * log_odds + made.line.intercept).astype(np.float32))


def error_of(scored: Scored) -> float:
    places, count = card_places(scored.cards)
    return calibration_error(scored.scores, scored.frauds, places)(np.ones(count, dtype=np.int64))[0]


def test_of_champions_that_are_right_no_more_are_recalibrated_than_stated() -> None:
    thresholds = best_thresholds(cards_alike=0.5)
    champions = (decided(seed, days=9, cards_alike=0.5) for seed in range(CHAMPIONS))
    wrongly = sum(ever_recalibrated(scored, thresholds) is not None for scored in champions)
    assert wrongly <= TERMS.error_rate * CHAMPIONS


@pytest.mark.parametrize("rate", [TRIPLED, -TRIPLED])
def test_when_fraud_becomes_three_times_as_frequent_or_rare_scores_follow(rate: float) -> None:
    """Calibration error and cost, before and after, on later payments of as many champions as there are seeds."""
    thresholds = best_thresholds()
    errors, costs = [], []
    for seed in range(8):
        made = ever_recalibrated(decided(seed, days=80, rate=rate), thresholds)
        assert made is not None, f"seed {seed}"
        assert (np.diff(made.after.scores[np.argsort(made.before.scores)]) >= 0).all()
        later = decided(seed + 100, days=80, rate=rate)
        after = moved(later, made)
        errors.append((error_of(later), error_of(after)))
        costs.append((cost_of(later, thresholds, COSTS).sum(), cost_of(after, made.thresholds, COSTS).sum()))
    before, after_error = np.mean(errors, axis=0)
    assert after_error < 0.5 * before
    old, new = np.sum(costs, axis=0)
    assert new < 0.95 * old


def test_a_rate_that_triples_in_the_middle_is_followed_while_older_payments_still_tell_another() -> None:
    made = ever_recalibrated(decided(0, days=60, rate=TRIPLED, from_day=30.0), best_thresholds())
    assert made is not None
    assert 30 * DAY_US < made.before.times[-1] < 40 * DAY_US
    later = decided(100, days=80, rate=TRIPLED)
    assert error_of(moved(later, made)) < 0.9 * error_of(later)


def test_thresholds_that_cost_surely_less_are_taken_without_another_line() -> None:
    scored, wasteful = decided(1, days=60), Thresholds(review=0.6, decline=0.95)
    made = ever_recalibrated(scored, wasteful)
    assert made is not None
    assert made.line == UNCHANGED
    assert cost_of(scored, made.thresholds, COSTS).sum() < cost_of(scored, wasteful, COSTS).sum()


def test_thresholds_fill_the_reviews_of_a_day_where_these_are_counted() -> None:
    scored = decided(2, days=40, rate=TRIPLED)
    look = latest_look(scored, frauds_min=30, days_min=2.0)
    made = propose(look, best_thresholds(), replace(TERMS, reviews_a_day_max=5))
    reviewed = made.after.at_or_above(made.thresholds.review) & ~made.after.at_or_above(made.thresholds.decline)
    assert 2 < reviewed.sum() / made.after.length_days < 8


def test_a_look_is_the_same_whoever_asks_and_whenever_until_the_next_is_due() -> None:
    scored = decided(3, days=30)
    looks = [latest_look(scored.part(scored.days <= day), frauds_min=30, days_min=3.0) for day in range(8, 30)]
    numbers = [look.number for look in looks]
    assert numbers == sorted(numbers)
    assert len(set(numbers)) > 2
    for number in set(numbers):
        ends = {int(look.windows[-1].proof.times[-1]) for look in looks if look.number == number}
        assert len(ends) == 1
    for window in looks[-1].windows:
        assert window.fit.times[-1] <= window.proof.times[0]
        assert abs(int(window.fit.frauds.sum()) - int(window.proof.frauds.sum())) <= 1


def test_a_rare_dear_fraud_that_has_not_come_yet_is_no_saving() -> None:
    """Approving saves a review each, and costs what it saves on average: rarely, and then much."""
    rng = np.random.default_rng(0)
    rate, reached = 0.01, 0
    for _ in range(500):
        frauds = (rng.random(150) < rate).astype(np.int8)
        zeros = np.zeros(150, dtype=np.int64)
        proof = Scored(frauds, np.full(150, rate, dtype=np.float32), np.arange(150), zeros, zeros)
        reached += saving_evidence(proof, lambda of: np.where(of.frauds == 1, -99.0, 1.0)) >= np.log(20)
    assert reached <= 0.05 * 500


def test_frauds_that_come_in_heaps_on_few_cards_count_for_less() -> None:
    scored, true = decided(4, rate=TRIPLED), UNCHANGED._replace(intercept=TRIPLED)
    one_card_each = replace(scored, cards=np.arange(len(scored.cards)))
    heaped = replace(scored, cards=np.where(scored.frauds == 1, scored.cards % 5, 1_000 + np.arange(len(scored.cards))))
    assert dispersion(one_card_each, true) < 1.3
    assert dispersion(heaped, true) > 4
    evidence = [line_evidence(of, of, true, gain_min=0.0) for of in (one_card_each, heaped)]
    assert evidence[0] > 3 * evidence[1] > 0


@pytest.mark.parametrize("label", [0, 1])
def test_labels_of_one_class_make_nothing(label: int) -> None:
    scored = decided(5)
    one_class = replace(scored, frauds=np.full_like(scored.frauds, label))
    with pytest.raises(RefusedError) as refused:
        propose(latest_look(one_class, frauds_min=30, days_min=2.0), Thresholds(review=0.1, decline=0.9), TERMS)
    assert refused.value.code == ("one_class" if label else "too_few_frauds")
