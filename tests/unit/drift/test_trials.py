from datetime import timedelta
from itertools import permutations

import numpy as np
import pytest

from services.drift.labels.trials import BURST_CARDS, LEARNT_FROM, Excess, Seen, Share
from tests.events import START

HIT, MISS = Seen(1, 1), Seen(1, 0)


def log_growth(watch: Share | Excess) -> np.ndarray:
    """The logarithm of what a stake of each bet has become; weighted equally, the days that were staked cancel out."""
    return watch.bets._evidence._log_path


def card_day(hits: int, payments: int, *, expected: float) -> Share:
    share = Share(expected)
    for number in range(payments):
        share.observe("card", START, HIT if number < hits else MISS, START.timestamp())
    return share


def test_while_all_is_well_a_stake_never_grows_on_average_though_small_cards_days_are_caught_less_often() -> None:
    # Half of the cards' days have one fraud, caught in 5 of 10 cases; half have three, all caught in 9 of 10 or none.
    recall = (0.5 * 1 * 0.5 + 0.5 * 3 * 0.9) / (0.5 * 1 + 0.5 * 3)
    cases = [(0.25, 1, 1), (0.25, 0, 1), (0.45, 3, 3), (0.05, 0, 3)]
    growth = sum(p * np.exp(log_growth(card_day(hits, of, expected=recall))) for p, hits, of in cases)
    assert growth == pytest.approx(np.ones(3))


def test_a_burst_on_one_card_counts_as_three_payments_at_most_in_whatever_order_it_is_labelled() -> None:
    assert log_growth(card_day(0, 20, expected=0.7)) == pytest.approx(log_growth(card_day(0, 3, expected=0.7)))
    orders = []
    for changes in permutations([HIT, MISS, MISS]):
        share = Share(0.7)
        for change in changes:
            share.observe("card", START, change, START.timestamp())
        orders.append(log_growth(share))
    assert np.ptp(orders, axis=0) == pytest.approx(np.zeros(3))


def test_large_bursts_that_were_caught_count_in_full_so_that_evidence_shrinks_while_all_is_well() -> None:
    # A card's day with a fraud has so many of them as a geometric distribution says, 4 on average; the others have one
    # genuine payment. All are flagged; 5 of 8 of the payments are fraud.
    bursts = 0.625 / (4 * 0.375 + 0.625)
    sizes = range(1, 200)
    caught = [log_growth(card_day(size, size, expected=0.625)) for size in sizes]
    growth = (1 - bursts) * log_growth(card_day(0, 1, expected=0.625))
    growth += bursts * sum(0.25 * 0.75 ** (size - 1) * each for size, each in zip(sizes, caught, strict=True))
    assert np.all(growth < -0.02)


def test_what_was_taken_back_leaves_no_evidence() -> None:
    share = Share(0.7)
    share.observe("card", START, MISS, START.timestamp())
    assert log_growth(share).min() > 0
    share.observe("card", START, Seen(-1, 0), START.timestamp())
    assert log_growth(share) == pytest.approx(np.zeros(3))
    assert share.tally.latest(1).trials == 0


def test_what_is_taken_back_but_was_never_seen_changes_nothing() -> None:
    share = Share(0.7)
    share.observe("card", START, Seen(-1, -1), START.timestamp())
    assert share.bets.days == 0
    assert share.tally.latest(1) == Seen()


def test_misses_gather_evidence_and_hits_take_it_away() -> None:
    share = Share(0.7)
    days = []
    for number in range(60):
        share.observe(f"card-{number}", START, MISS if number < 30 else HIT, START.timestamp())
        days.append(share.bets.days)
    assert days[29] > 200 * days[0]
    assert days[59] < days[29] / 50


def test_a_share_that_is_not_told_is_learnt_carefully_and_never_above_its_limit() -> None:
    learnt = []
    for caught in (0.5, 1.0):
        share = Share(None, expected_max=0.66)
        for number in range(LEARNT_FROM):
            assert share.is_learning
            assert share.bets.days == 0
            is_hit = number < caught * LEARNT_FROM
            share.observe(f"card-{number}", START, HIT if is_hit else MISS, START.timestamp())
        assert not share.is_learning
        learnt.append(share.expected)
    assert learnt == [pytest.approx(0.3314, abs=1e-4), 0.66]  # of 25 in 50, one-sided


def test_forgetting_the_evidence_keeps_what_was_learnt_so_far() -> None:
    share = Share(None)
    for number in range(LEARNT_FROM):
        share.reset()
        share.observe(f"card-{number}", START, HIT, START.timestamp())
    assert share.expected is not None


@pytest.mark.parametrize("expected", [0.0, 1.0])
def test_no_observation_is_impossible(expected: float) -> None:
    share = Share(expected)
    for number, change in enumerate((HIT, MISS)):
        share.observe(f"card-{number}", START, change, START.timestamp())
    assert np.isfinite(share.bets.days)


@pytest.mark.parametrize("together", [1, BURST_CARDS])
@pytest.mark.parametrize("allowed", [1e-5, 0.01, 0.4, 0.98])
def test_while_scores_hold_a_stake_on_more_fraud_never_grows_on_average(allowed: float, together: int) -> None:
    grown = []
    for is_fraud in (0.0, 1.0):
        excess = Excess(is_learnt=False)
        excess.observe(np.full(together, is_fraud), np.full(together, allowed), START, START.timestamp())
        grown.append(np.exp(log_growth(excess)))
    assert np.all((1 - allowed) * grown[0] + allowed * grown[1] < 1 + 1e-9)
    assert np.all(grown[1] > 1) == (allowed < 0.3)


def test_a_segment_whose_scores_are_too_low_by_habit_is_allowed_that_much() -> None:
    excess, chance = Excess(is_learnt=True), np.random.default_rng(1)
    for day in range(60):
        at = START + timedelta(days=day)
        frauds = (chance.random(1_000) < 0.004).astype(float)
        excess.observe(frauds, np.full(1_000, 0.002), at, at.timestamp())
    assert excess.factor is not None
    assert excess.factor > 2
    assert excess.bets.days < 10
    for day in range(60, 70):
        at = START + timedelta(days=day)
        frauds = (chance.random(1_000) < 0.016).astype(float)
        excess.observe(frauds, np.full(1_000, 0.002), at, at.timestamp())
    assert excess.bets.days > 1_000
    assert excess.bets.since is not None
    assert abs(excess.bets.since - (START + timedelta(days=60))) < timedelta(days=5)


def test_silence_and_clock_jumps_stake_a_week_at_most() -> None:
    share = Share(0.7)
    share.observe("a", START, HIT, START.timestamp())
    before = share.bets.days
    after = START + timedelta(days=3_650)
    share.observe("b", after, HIT, after.timestamp())
    assert share.bets.days < before + 7
    share.observe("c", START, HIT, START.timestamp())  # the clock was wrong: no stake, and on from here
    week = START + timedelta(days=6)
    share.observe("d", week, MISS, week.timestamp())
    assert share.bets.days > 6
