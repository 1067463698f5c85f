"""The figures are those of scikit-learn and of plain loops, and what cannot be told is said so."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from services.training.evaluation.bootstrap import card_places
from services.training.evaluation.metrics import Evaluation, at_threshold, evaluate
from services.training.evaluation.policy import DECLINE_NOTHING, cost_of
from services.training.evaluation.ranking import card_precision, ranking
from services.training.evaluation.scored import Scored
from services.training.refusal import RefusedError
from shared.models.manifest import Thresholds
from tests.unit.training.evaluation.evaluation_scene import COSTS, scored

LEVELS = Thresholds(review=0.1, decline=0.6)


def evaluated(of: Scored, *, resamples: int = 5) -> Evaluation:
    return evaluate(of, LEVELS, COSTS, resamples=resamples)


@pytest.mark.parametrize("steps", [None, 10, 1])
@pytest.mark.parametrize("seed", range(3))
def test_ranking_and_calibration_as_scikit_learn_computes_them(seed: int, steps: int | None) -> None:
    """Whether the scores are all different, coarse, or only 0 and 1."""
    it = scored(seed)
    if steps:
        it = replace(it, scores=np.round(it.scores * steps) / np.float32(steps))
    figures = evaluated(it)
    assert figures.average_precision.value == pytest.approx(average_precision_score(it.frauds, it.scores))
    assert figures.auc_roc.value == pytest.approx(roc_auc_score(it.frauds, it.scores))
    assert figures.brier_score.value == pytest.approx(brier_score_loss(it.frauds, it.scores), abs=1e-6)
    assert figures.mean_score.value == pytest.approx(it.scores.mean(), abs=1e-6)
    assert figures.fraud_rate.value == pytest.approx(it.frauds.mean())


def test_a_resample_is_measured_as_if_its_payments_were_copied() -> None:
    it = scored()
    places, cards = card_places(it.cards)
    counts = np.random.default_rng(0).integers(0, 4, cards)
    copied = np.repeat(np.arange(len(places)), counts[places])
    frauds, scores = it.frauds[copied], it.scores[copied]
    resampled = ranking(it.scores, it.frauds, places)(counts)
    assert resampled == pytest.approx((average_precision_score(frauds, scores), roc_auc_score(frauds, scores)))
    taken = scores >= LEVELS.review
    assert at_threshold(it, LEVELS.review, places)(counts) == pytest.approx(
        (precision_score(frauds, taken), recall_score(frauds, taken), f1_score(frauds, taken))
    )


@pytest.mark.parametrize("operation", ["review", "decline"])
def test_decisions_as_scikit_learn_counts_them(operation: str) -> None:
    it = scored()
    found = getattr(evaluated(it), operation)
    taken = it.scores >= getattr(LEVELS, operation)
    (genuine_passed, genuine_taken), (frauds_passed, frauds_taken) = confusion_matrix(it.frauds, taken)
    assert found.confusion == (frauds_taken, genuine_taken, frauds_passed, genuine_passed)
    assert found.precision.value == pytest.approx(precision_score(it.frauds, taken))
    assert found.recall.value == pytest.approx(recall_score(it.frauds, taken))
    assert found.f1.value == pytest.approx(f1_score(it.frauds, taken))


def test_card_precision_as_an_investigator_would_count_it() -> None:
    it = scored(cards=60, rate=0.1)
    caught: set[int] = set()
    found, possible = [], []
    for day in np.unique(it.days):
        highest: dict[int, float] = {}
        defrauded: set[int] = set()
        for card, score, fraud in zip(
            *(column[it.days == day].tolist() for column in (it.cards, it.scores, it.frauds)), strict=True
        ):
            if card not in caught:
                highest[card] = max(score, highest.get(card, 0.0))
                defrauded |= {card} if fraud else set()
        looked_at = sorted(highest, key=lambda card: (-highest[card], card))[:10]
        found.append(len(defrauded & set(looked_at)) / 10)
        possible.append(min(10, len(defrauded)) / 10)
        caught |= defrauded & set(looked_at)
    places, cards = card_places(it.cards)
    measured = card_precision(it, places, looked_at=10)(np.ones(cards, dtype=np.int64))
    assert measured == pytest.approx((np.mean(found), np.mean(possible)))
    assert 0 < measured[0] < measured[1]


def test_calibration_error_is_the_mean_distance_over_equal_bins() -> None:
    it = scored(payments=1_000)
    order = np.argsort(it.scores)
    bins = np.array_split(order, 20)
    gaps = [abs(it.scores[of].astype(np.float64).mean() - it.frauds[of].mean()) * len(of) for of in bins]
    assert evaluated(it).expected_calibration_error.value == pytest.approx(sum(gaps) / 1_000, abs=1e-6)


def test_scores_that_say_too_much_are_badly_calibrated() -> None:
    it = scored()
    good = evaluated(it).expected_calibration_error.value
    assert good < 0.02
    assert evaluated(replace(it, scores=np.sqrt(it.scores))).expected_calibration_error.value > 5 * good


def test_cost_a_day_is_what_the_payments_cost() -> None:
    it = scored(days=8)
    figures = evaluated(it)
    total = cost_of(it, LEVELS, COSTS).sum()
    assert figures.cost_a_day.value == pytest.approx(total / it.length_days)
    assert sum(outcome.cost for outcome in figures.outcomes) == pytest.approx(total)
    assert sum(outcome.frauds for outcome in figures.outcomes) == figures.frauds
    assert sum(outcome.frauds + outcome.genuine for outcome in figures.outcomes) == figures.payments


def test_every_figure_lies_within_its_interval_and_is_the_same_for_the_same_seed() -> None:
    figures = evaluated(scored(), resamples=200)
    assert figures == evaluated(scored(), resamples=200)
    for name, (value, low, high) in figures.figures.items():
        if name not in {"expected_calibration_error", "card_precision_at_100"}:  # which resampling shifts
            assert low < value < high, name


def test_more_cards_narrow_the_intervals() -> None:
    few, many = (evaluated(scored(payments=n, cards=n // 10), resamples=200).auc_roc for n in (1_000, 16_000))
    assert many.high - many.low < (few.high - few.low) / 2


@pytest.mark.parametrize(("truth", "told"), [(0, "0 of the 50"), (1, "50 of the 50")])
def test_one_class_alone_is_refused(truth: int, told: str) -> None:
    it = scored(payments=50)
    with pytest.raises(RefusedError, match=told) as refused:
        evaluated(replace(it, frauds=np.full(50, truth, dtype=np.int8)))
    assert refused.value.code == "one_class"


def test_one_score_for_all_ranks_as_chance() -> None:
    it = scored()
    figures = evaluated(replace(it, scores=np.full_like(it.scores, 0.05)))
    assert figures.auc_roc.value == 0.5
    assert figures.average_precision.value == pytest.approx(it.frauds.mean())
    assert figures.review.precision.value == figures.review.f1.value == 0.0


def test_a_threshold_that_nothing_reaches_takes_nothing() -> None:
    it = scored()
    nothing = evaluate(it, Thresholds(review=0.1, decline=DECLINE_NOTHING), COSTS, resamples=5).decline
    assert nothing.confusion[:2] == (0, 0)
    assert nothing.recall.value == nothing.precision.value == 0.0


def test_a_score_that_is_no_number_is_refused() -> None:
    it = scored(payments=50)
    scores = it.scores.copy()
    scores[3:5] = np.nan, np.inf
    with pytest.raises(RefusedError, match="2 of 50 scores are not finite") as refused:
        replace(it, scores=scores)
    assert refused.value.code == "scores"


def test_columns_of_different_lengths_are_not_taken() -> None:
    it = scored(payments=50)
    with pytest.raises(ValueError, match="different lengths"):
        replace(it, cards=it.cards[:49])
