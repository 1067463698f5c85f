"""Whether harm is found where it is, and how often where it is not, however often one looks."""

import numpy as np
import pytest

from services.training.rollout.comparison import Bound, Hits, exceeds, harm_test

TWICE = Bound(factor=2.0, allowed=0.0, slack=0.01)
STREAMS, PAYMENTS, CARDS = 100, 2_000, 200


def hits(rng: np.random.Generator, rate: float, *, a_card: int = 1) -> Hits:
    """Return payments of cards, of which each has its own rate when it has several: the payments of a card are alike."""
    cards = rng.permutation(np.repeat(np.arange(CARDS), PAYMENTS // CARDS))
    rates = np.full(CARDS, rate) if a_card == 1 else rng.beta(rate * 2, (1 - rate) * 2, CARDS)
    return Hits(cards.astype(np.int64), rng.random(PAYMENTS) < rates[cards])


@pytest.mark.parametrize("alike", [1, 2])
def test_looking_often_finds_no_harm_by_chance(alike: int) -> None:
    """At the bound itself, where a false alarm is most likely: ten looks at each stream."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(STREAMS):
        before, new = hits(rng, 0.04, a_card=alike), hits(rng, 0.09, a_card=alike)
        looks = range(200, PAYMENTS + 1, 200)
        alarms += any(exceeds(first(new, n), first(before, n), TWICE, surely=True) for n in looks)
    assert alarms / STREAMS <= 0.01


def first(of: Hits, count: int) -> Hits:
    return Hits(of.cards[:count], of.hits[:count])


def test_an_explosion_is_found_after_some_tens_of_payments() -> None:
    rng = np.random.default_rng(1)
    before, new = hits(rng, 0.02), hits(rng, 0.6)
    found = next(n for n in range(1, PAYMENTS) if exceeds(first(new, n), first(before, n), TWICE, surely=True))
    assert found < 100


def test_a_few_cards_are_never_enough_to_be_sure() -> None:
    every, none = np.ones(500, dtype=np.bool_), np.zeros(500, dtype=np.bool_)
    cards = np.arange(500) % 19
    assert not exceeds(Hits(cards, every), Hits(cards, none), TWICE, surely=True)
    assert exceeds(Hits(cards + np.arange(500) % 2 * 19, every), Hits(cards, none), TWICE, surely=True)


def test_what_it_flagged_when_it_was_measured_is_allowed() -> None:
    rng = np.random.default_rng(2)
    before, new = hits(rng, 0.02), hits(rng, 0.2)
    assert exceeds(new, before, TWICE, surely=False)
    assert not exceeds(new, before, TWICE._replace(allowed=0.2), surely=False)
    assert not exceeds(new, before, TWICE._replace(allowed=0.2), surely=True)


def test_nothing_is_said_of_a_version_that_has_seen_nothing() -> None:
    nothing = Hits(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.bool_))
    some = Hits(np.arange(30), np.ones(30, dtype=np.bool_))
    assert not exceeds(some, nothing, TWICE, surely=False)
    assert not exceeds(nothing, some, TWICE, surely=False)
    assert nothing.rate == 0.0


@pytest.mark.parametrize(
    ("payments", "told"),
    [
        (99, "not comparable yet: 99 payments of 99 cards (9 frauds)"),
        (199, "on 100 payments of 100 cards (10 frauds) that are new to both; p = 1, beyond the error rate of 0.03"),
        (399, "on 200 payments of 200 cards (20 frauds) that are new to both; p = 1, beyond the error rate of 0.01"),
        (1_000, "on 800 payments of 800 cards (80 frauds) that are new to both; p = 1, beyond the error rate of 0.003"),
    ],
)
def test_a_look_takes_the_payments_up_to_its_fraud_and_its_part_of_the_error_rate(payments: int, told: str) -> None:
    frauds = (np.arange(payments) % 10 == 9).astype(np.int8)
    scores = np.random.default_rng(0).random(payments)
    assert told in harm_test(scores, scores, frauds, np.arange(payments), error_rate=0.06).explanation


def test_a_version_before_that_ranks_better_is_found_and_an_equal_one_is_not() -> None:
    rng = np.random.default_rng(3)
    frauds = (rng.random(400) < 0.05).astype(np.int8)
    cards = np.arange(400) % 100
    good, other = (frauds + rng.normal(0, 0.4, 400) for _ in range(2))
    poor = rng.random(400)
    assert harm_test(poor, good, frauds, cards, error_rate=0.05).better
    assert not harm_test(good, poor, frauds, cards, error_rate=0.05).better
    assert not harm_test(good, other, frauds, cards, error_rate=0.05).better
