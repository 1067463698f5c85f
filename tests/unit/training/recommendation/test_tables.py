"""Every family against its definition written out, on data small enough for it."""

import numpy as np
import numpy.typing as npt
import pytest

from services.training.recommendation.ease import ease
from services.training.recommendation.factors import factors
from services.training.recommendation.fitting import fitted
from services.training.recommendation.histories import Histories, touched
from services.training.recommendation.nearest_neighbours import nearest_neighbours
from services.training.recommendation.next_item import next_item
from services.training.recommendation.plan import (
    Ease,
    Factors,
    NearestNeighbours,
    NextItem,
    Table,
    Traits,
    Transitions,
)
from services.training.recommendation.pruning import pruned
from services.training.recommendation.ranking import neighbour_matrix
from services.training.recommendation.recommender import Neighbours
from services.training.recommendation.ridge import inverted
from services.training.recommendation.traits import alike_in_traits
from services.training.recommendation.transitions import transitions
from tests.sequences import histories_of
from tests.unit.training.recommendation.shoppers import walkers

Reals = npt.NDArray[np.float64]


def weighed(seed: int = 0) -> Histories:
    histories = walkers(users=30, items=8, touches=6, seed=seed)
    weights = np.random.default_rng(seed).choice(np.array([0.05, 1.0, 3.0], dtype=np.float32), len(histories.items))
    return Histories(histories.offsets, histories.items, weights, histories.times, 8, histories.segments)


def scaled(table: Reals) -> Reals:
    """Return the table as all are: no diagonal, an item's strongest neighbour 1 on average."""
    without_self = table - np.diag(np.diag(table))
    strongest = np.abs(without_self).max(axis=1)
    return np.asarray(without_self / strongest[strongest > 0].mean())


def dense(neighbours: Neighbours) -> Reals:
    return np.asarray(neighbour_matrix(neighbours).toarray())


def test_next_item_is_the_ridge_over_every_history() -> None:
    histories = weighed()
    given = NextItem(decay=0.8, l2=0.3, items_max=8, skip=1, user_power=0.5, column_power=0.25)
    gram, targets = np.zeros((8, 8)), np.zeros((8, 8))
    for begin, end in zip(histories.offsets[:-1], histories.offsets[1:], strict=True):
        for t in range(begin + 1, end):
            history, seen = np.zeros(8), np.zeros(8)
            for p in range(begin, t):
                share = histories.weights[p] * given.decay ** (t - 1 - p)
                history[histories.items[p]] += share
                seen[histories.items[p]] += share * (t - p > given.skip)
            of_user = histories.weights[t] / np.sqrt(end - begin)
            gram += of_user * np.outer(history, history)
            targets[:, histories.items[t]] += of_user * seen
    targets /= np.bincount(histories.items, weights=histories.weights) ** given.column_power
    inverse = np.linalg.inv(gram + given.l2 * np.trace(gram) / 8 * np.eye(8))
    table = inverse @ targets
    table -= inverse * np.diag(table) / np.diag(inverse)
    np.testing.assert_allclose(dense(next_item(histories, given, width=8)), scaled(table), atol=1e-5)


def test_ease_regresses_each_item_on_the_others() -> None:
    histories = weighed()
    matrix = touched(histories).toarray()
    gram = matrix.T @ matrix
    l2 = 0.2 * np.trace(gram) / 8
    table = np.zeros((8, 8))
    for item in range(8):
        others = np.delete(np.arange(8), item)
        own = gram[np.ix_(others, others)] + l2 * np.eye(7)
        table[others, item] = np.linalg.solve(own, gram[others, item])
    found = ease(histories, Ease(l2=0.2, items_max=8), width=8)
    np.testing.assert_allclose(dense(found), scaled(table), atol=1e-5)


def test_nearest_neighbours_are_shrunk_cosines() -> None:
    histories = weighed()
    matrix = touched(histories).toarray()
    norms = np.linalg.norm(matrix, axis=0)
    table = matrix.T @ matrix / (np.outer(norms, norms) + 2.0)
    found = nearest_neighbours(histories, NearestNeighbours(shrinkage=2.0), width=8)
    np.testing.assert_allclose(dense(found), scaled(table), atol=1e-5)


def test_transitions_count_what_came_soon_after_most() -> None:
    histories = histories_of([np.array([0, 1, 2]), np.array([0, 1, 3])], 4)
    found = dense(transitions(histories, Transitions(0.5, 0.25, row_power=0.0, column_power=0.0), width=4))
    # 0 → 1 twice, right after; 1 → 2 and 1 → 3 once; 0 → 2 and 0 → 3 once, one between; a quarter of that backwards.
    table = np.array([[0, 2, 0.5, 0.5], [0.5, 0, 1, 1], [0.125, 0.25, 0, 0], [0.125, 0.25, 0, 0]])
    np.testing.assert_allclose(found, scaled(table), atol=1e-6)


def test_factors_find_the_two_circles_shoppers_keep_to() -> None:
    rng = np.random.default_rng(1)
    sequences = [rng.permutation(5)[:3] + 5 * (user % 2) for user in range(60)]
    found = dense(factors(histories_of(sequences, 10), Factors(size=2, l2=0.1, confidence=5.0), width=10))
    within = found[:5, :5][~np.eye(5, dtype=np.bool_)]
    assert within.min() > 10 * np.abs(found[:5, 5:]).max()


def test_an_item_nobody_touched_is_found_by_what_it_is() -> None:
    histories = histories_of([np.array([0, 1, 2])] * 10, 4)
    traits = [("category=shoes", "brand=a"), ("category=shoes",), ("category=hats",), ("category=shoes", "brand=a")]
    found = dense(alike_in_traits(histories, traits, Traits(interactions_max=2), width=4))
    assert found[0, 3] > found[1, 3] > found[2, 3] == 0
    assert found[3, 0] > found[3, 1] > 0, "and what others touched, from it"
    assert found[0, 1] == 0, "those that many touched are known by their company"


TABLES: tuple[Table, ...] = (
    Ease(0.5, 100),
    NearestNeighbours(1.0),
    Transitions(0.8, 0.5, 0.3, 0.2),
    NextItem(0.8, 0.5, 100),
    Factors(4, 1.0, 5.0),
)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.family)
def test_touches_of_the_distrusted_push_an_item_less(table: Table) -> None:
    honest = [np.array([at % 8, (at + 1) % 8, (at + 2) % 8]) for at in range(80)]
    fakes = [np.array([0, 8])] * 40
    histories = histories_of([*honest, *fakes], 10)
    distrusted = Histories(
        histories.offsets,
        histories.items,
        np.where(histories.users < 80, 1.0, 0.05).astype(np.float32),
        histories.times,
        10,
        histories.segments,
    )
    trusting, wary = (dense(fitted(each, table, width=9))[0] for each in (histories, distrusted))
    assert trusting[8] > 0
    assert wary[8] / wary[1] < 0.5 * trusting[8] / trusting[1], "beside what honest shoppers touch after item 0"


@pytest.mark.parametrize("table", [*TABLES, Traits(3)], ids=lambda table: table.family)
def test_a_shop_without_touches_has_no_neighbours(table: Table) -> None:
    nothing = histories_of([np.empty(0, dtype=np.int64)], 3)
    assert not fitted(nothing, table, width=2).strengths.any()


def test_pruning_keeps_the_strongest_of_either_sign() -> None:
    table = np.array([[9.0, 0.1, -3.0, 2.0], [1.0, 9.0, 0.0, 0.0], [0.0, 0.0, 9.0, 0.0]])
    items, strengths = pruned([(np.arange(3), table)], 4, 2)
    assert {(int(item), round(float(strength), 6)) for item, strength in zip(items[0], strengths[0], strict=True)} == {
        (2, -1.5),
        (3, 1.0),
    }, "scaled by 2, the mean of the strongest: 3 and 1"
    assert sorted(zip(items[1].tolist(), strengths[1].tolist(), strict=True)) == [(0, 0.0), (0, 0.5)]
    assert not strengths[2:].any()


def test_what_cannot_be_inverted_says_so() -> None:
    with pytest.raises(ValueError, match="Gram matrix of 2 items is not positive definite with l2 = 0"):
        inverted(np.ones((2, 2)), l2=0.0)
