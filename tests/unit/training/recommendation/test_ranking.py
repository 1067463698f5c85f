"""Ranks against the slow way to scores; cases never see what came later."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.training.recommendation.fitting import fit
from services.training.recommendation.histories import Histories
from services.training.recommendation.plan import NextItem, Plan, PlannedComponent, Transitions
from services.training.recommendation.ranking import Cases, touches_since
from services.training.recommendation.recommender import Recommender, scores_of
from tests.benchmarks.recommendation_ranks import last_touches, ranks, top
from tests.sequences import histories_of
from tests.unit.training.recommendation.shoppers import DAY_US, vocabulary, walkers

PLAN = Plan(
    components=(
        PlannedComponent(NextItem(0.8, 0.5, 40), 1.0, 0.8, 5, 0.5),
        PlannedComponent(Transitions(0.8, 0.5, 0.3, 0.2), 0.5, 0.6, 3),
    ),
    popularity_weight=0.1,
    width=10,
)


@pytest.fixture(scope="module")
def histories() -> Histories:
    return walkers()


@pytest.fixture(scope="module")
def recommender(histories: Histories) -> Recommender:
    return fit(histories, PLAN, vocabulary(40))


@given(at=st.integers(0, 119), length=st.integers(0, 11))
def test_ranks_are_those_of_the_scores(recommender: Recommender, histories: Histories, at: int, length: int) -> None:
    begin = histories.offsets[at]
    target = int(histories.items[begin + length])
    items = histories.items[begin : begin + length][::-1].astype(np.int64)
    case = Cases(*(np.array([value]) for value in (begin, begin + length, target, 0)))
    if target in items:
        return
    scores = scores_of(recommender, items, histories.weights[begin : begin + length][::-1].astype(np.float64))
    scores[items] = -np.inf
    found = ranks(recommender, histories, case)[0]
    assert (scores > scores[target] + 1e-5).sum() < found <= (scores >= scores[target] - 1e-5).sum()
    best = top(recommender, histories, case, 5)[0]
    np.testing.assert_allclose(scores[best], np.sort(scores)[::-1][:5], atol=1e-5)


def test_the_next_touch_of_a_walker_is_ranked_first_most_often(recommender: Recommender, histories: Histories) -> None:
    found = ranks(recommender, histories, last_touches(histories))
    assert np.mean(found == 1) > 0.6, "80 % of the steps can be foretold"


def test_what_nothing_is_known_of_ranks_last() -> None:
    nothing = histories_of([np.array([0, 1])], 4)
    blank = fit(nothing, Plan((), 0.0), vocabulary(4))
    assert ranks(blank, nothing, last_touches(nothing)).tolist() == [3], "behind the two others that were not touched"


def test_last_touches_come_after_all_but_those_skipped() -> None:
    histories = histories_of([np.array([3, 1, 2]), np.array([0]), np.array([4, 3])], 5)
    cases = last_touches(histories)
    assert cases.targets.tolist() == [2, 3], "who has no history is no case"
    assert (cases.ends - cases.begins).tolist() == [2, 1]
    skipping = last_touches(histories, skip=1)
    assert skipping.targets.tolist() == [2]
    assert histories.items[skipping.begins[0] : skipping.ends[0]].tolist() == [3]


def test_touches_since_a_moment_are_first_touches_with_their_past_alone() -> None:
    histories = walkers()
    cases = touches_since(histories, 8 * DAY_US, cases_max=10**6, seed=0)
    assert len(cases.targets) > 100
    assert (histories.times[cases.ends] >= 8 * DAY_US).all()
    assert (histories.items[cases.ends] == cases.targets).all()
    for begin, end, target in zip(cases.begins, cases.ends, cases.targets, strict=True):
        assert target not in histories.items[begin:end]
    fewer = touches_since(histories, 8 * DAY_US, cases_max=50, seed=0)
    assert len(fewer.targets) == 50


def test_the_distrusted_are_hardly_ever_cases() -> None:
    known = walkers()
    weights = np.where(known.users < 40, 0.05, 1.0).astype(np.float32)
    histories = Histories(known.offsets, known.items, weights, known.times, 40, known.segments)
    cases = touches_since(histories, 0, cases_max=10**6, seed=0)
    of_fakes = np.mean(cases.begins < histories.offsets[40])
    assert 0 < of_fakes < 0.06
