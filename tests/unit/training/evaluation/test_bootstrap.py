"""Intervals hold the truth about as often as they say, and know that a card's payments are alike."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from services.training.evaluation.bootstrap import Counts, Interval, card_places, intervals, sums_by_card

TRUTH = 10.0


def mean_interval(values: npt.NDArray[np.float64], cards: npt.NDArray[np.int64], *, resamples: int = 200) -> Interval:
    """Return the mean of `values` with its interval."""
    places, count = card_places(cards)
    sums = sums_by_card([values, np.ones(len(values))], places)

    def mean(counts: Counts) -> Sequence[float]:
        total, number = (counts @ sums).tolist()
        return [total / number]

    return intervals(mean, count, resamples=resamples, seed=0)[0]


def alike(seed: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Return values of 80 cards with 1 to 8 payments each: mostly the card's own, and their cards."""
    rng = np.random.default_rng(seed)
    cards = np.repeat(rng.permutation(10_000)[:80], rng.integers(1, 9, 80))
    own = dict(zip(np.unique(cards).tolist(), rng.normal(TRUTH, 2, 80).tolist(), strict=True))
    return np.array([own[card] for card in cards.tolist()]) + rng.normal(0, 0.5, len(cards)), cards


def coverage(*, clustered: bool) -> float:
    """Return how often the interval held the truth, of 200 draws."""
    held = 0
    for seed in range(200):
        values, cards = alike(seed)
        interval = mean_interval(values, cards if clustered else np.arange(len(cards)))
        held += interval.low <= TRUTH <= interval.high
    return held / 200


def test_the_truth_lies_within_about_as_often_as_stated() -> None:
    # 95 % stated; 200 draws have a standard error of 1.5 %, and percentile intervals are a little narrow.
    assert 0.89 <= coverage(clustered=True) <= 0.99


def test_payments_drawn_one_by_one_would_claim_too_much() -> None:
    assert coverage(clustered=False) < 0.75


def test_clustering_widens_what_cards_share_and_not_what_they_do_not() -> None:
    values, cards = alike(1)
    shuffled = np.random.default_rng(0).permutation(values)

    def width(of: npt.NDArray[Any], by: npt.NDArray[np.int64]) -> float:
        found = mean_interval(of, by, resamples=1_000)
        return found.high - found.low

    assert width(values, cards) > 1.5 * width(values, np.arange(len(cards)))
    assert width(shuffled, cards) == pytest.approx(width(shuffled, np.arange(len(cards))), rel=0.3)


def test_resamples_that_tell_nothing_are_left_out() -> None:
    def of_first(counts: Counts) -> Sequence[float]:
        return [5.0 if counts[0] else float("nan"), float("nan")]

    told, untold = intervals(of_first, 3, resamples=100, seed=0)
    assert told == (5.0, 5.0, 5.0)
    assert all(np.isnan(untold))
