"""The plan that is learned: from the past, for what came after, the same each time."""

from itertools import count

import numpy as np
import pytest

from services.training.recommendation.blending import ALTERNATIVES, HELD_OUT, TRAITS, TRAITS_WEIGHT_MIN, learned
from services.training.recommendation.fitting import fit
from services.training.recommendation.histories import Histories
from services.training.recommendation.plan import Plan
from services.training.recommendation.ranking import touches_since
from services.training.recommendation.weighing import COMPONENTS_MAX
from tests.benchmarks.recommendation_ranks import ranks
from tests.sequences import histories_of
from tests.unit.training.recommendation.shoppers import vocabulary, walkers

ITEMS = 40
ENOUGH_SECONDS = 10.0**6


def plan_of(histories: Histories, traits: tuple[tuple[str, ...], ...] = ()) -> Plan:
    return learned(histories, vocabulary(ITEMS, traits), seconds_max=ENOUGH_SECONDS, monotonic_seconds=lambda: 0.0)


def test_walkers_are_foretold_by_where_they_stand() -> None:
    histories = walkers()
    plan = plan_of(histories)
    assert plan.components[0].table.family in {"transitions", "next_item"}
    assert len(plan.components) <= COMPONENTS_MAX
    cut = int(np.quantile(histories.times, 1 - HELD_OUT))
    cases = touches_since(histories, cut, cases_max=1000, seed=1)
    earlier = histories.before(cut)
    ours = ranks(fit(earlier, plan, vocabulary(ITEMS)), histories, cases)
    popular = ranks(fit(earlier, Plan((), 1.0), vocabulary(ITEMS)), histories, cases)
    assert np.mean(ours == 1) > 0.5 > np.mean(popular == 1) + 0.3


def test_the_same_data_makes_the_same_plan() -> None:
    assert plan_of(walkers(users=60)) == plan_of(walkers(users=60))


def test_time_that_is_up_ends_the_search_with_a_plan() -> None:
    clock = count()
    traits = tuple((f"colour={item % 3}",) for item in range(ITEMS))
    plan = learned(walkers(), vocabulary(ITEMS, traits), seconds_max=0.0, monotonic_seconds=lambda: float(next(clock)))
    assert {component.table for component in plan.components} == {ALTERNATIVES[0].tables[0], TRAITS.tables[0]}


def test_new_items_are_found_by_their_traits_even_where_none_was_held_out() -> None:
    plan = plan_of(walkers(), tuple((f"colour={item % 3}",) for item in range(ITEMS)))
    (weight,) = (component.weight for component in plan.components if component.table.family == "traits")
    assert weight >= TRAITS_WEIGHT_MIN


def test_interactions_of_one_moment_teach_no_blend() -> None:
    histories = histories_of([np.array([1]), np.array([2])], ITEMS)
    with pytest.raises(ValueError, match="2 interactions, of which 0 come before the last tenth"):
        plan_of(histories)


def test_an_attack_by_the_distrusted_gains_little() -> None:
    honest = walkers()
    fakes = [np.array([at % ITEMS, 7] * 6) for at in range(60)]
    theirs = histories_of(fakes, ITEMS)

    def with_trust(trust: float) -> Histories:
        return Histories(
            np.concatenate([honest.offsets, honest.offsets[-1] + theirs.offsets[1:]]),
            np.concatenate([honest.items, theirs.items]),
            np.concatenate([honest.weights, np.float32(trust) * theirs.weights]),
            np.concatenate([honest.times, theirs.times]),
            ITEMS,
            np.concatenate([honest.segments, theirs.segments]),
        )

    plan = plan_of(honest)
    cases = touches_since(honest, 0, cases_max=500, seed=0)
    target = cases._replace(targets=np.full(len(cases.targets), 7))
    unseen = np.array([7 not in honest.items[begin:end] for begin, end in zip(cases.begins, cases.ends, strict=True)])
    clean, wary, trusting = (
        np.mean(ranks(fit(data, plan, vocabulary(ITEMS)), honest, target.part(np.flatnonzero(unseen))) <= 5)
        for data in (honest, with_trust(0.05), with_trust(1.0))
    )
    assert trusting > clean + 0.2
    assert wary - clean < 0.2 * (trusting - clean)
