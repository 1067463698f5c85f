"""A list is put together as the shop's rules say, and the trace tells what each of them did."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.recommendations.arranging import POOL_MAX, Candidate, Exploring, Placed, arranged, merged
from services.scoring.recommendations.asked import Boost, Changes, Condition, Merchandising
from shared.contracts.shopping import Item
from tests.unit.scoring.recommendations.catalogue_scene import item

ACME = Condition(attribute="brand", any_of=["acme"])
SHOES = Condition(attribute="category", any_of=["shoes"])
CATEGORIES = ["shoes", "bags", "hats", None]
UNKNOWN: dict[str, Item] = {}
RULES = st.builds(
    Merchandising,
    per_category_max=st.one_of(st.none(), st.integers(1, 3)),
    diversity=st.sampled_from([0.0, 0.5, 1.0]),
    exploration=st.sampled_from([0.0, 0.5, 1.0]),
    exploration_place=st.integers(0, 12),
    boosts=st.sampled_from([[], [Boost(when=SHOES, factor=0.5)], [Boost(when=SHOES, factor=3.0)]]),
)


class Tries:
    """Chooses evenly from the pool in a share of the cases, and says so."""

    def __init__(self, seed: int = 7) -> None:
        self._random = np.random.default_rng(seed)
        self.pools: list[list[str]] = []

    def choose(self, pool: Sequence[Candidate], share: float) -> tuple[int, list[float], list[list[float]]]:
        self.pools.append([candidate.item_id for candidate in pool])
        propensities = [share / len(pool)] * len(pool)
        propensities[0] += 1 - share
        chosen = int(self._random.choice(len(pool), p=propensities))
        return chosen, propensities, [[1.0, candidate.score] for candidate in pool]


def shop(*categories: str | None, **brands: str) -> dict[str, Item]:
    """Return items i0, i1, … of these main categories; brands: item → brand."""
    return {
        f"i{at}": item(
            f"i{at}",
            categories=[] if category is None else [category],
            attributes={"brand": brands[f"i{at}"]} if f"i{at}" in brands else {},
        )
        for at, category in enumerate(categories)
    }


def ranked(*scores: float) -> list[Candidate]:
    return [Candidate(f"i{at}", score) for at, score in enumerate(scores)]


def ids(placed: Sequence[Placed]) -> list[str]:
    return [shown.item_id for shown in placed]


def test_without_rules_a_list_is_the_best_candidates_as_they_come() -> None:
    found = arranged(ranked(3.0, 2.0, 1.0), UNKNOWN.get, Merchandising(), 2, trace=True)
    assert found.placed == [Placed("i0", 3.0, 1.0), Placed("i1", 2.0, 1.0)]
    assert (found.exploration, list(found.stages)) == (None, [])
    assert arranged([], UNKNOWN.get, Merchandising(diversity=0.5, per_category_max=1, exploration=1.0), 5).placed == []


def test_a_boosted_item_ranks_so_many_times_further_above_the_lowest() -> None:
    items = shop(None, None, None, None, i2="acme")
    doubled = Merchandising(boosts=[Boost(when=ACME, factor=2.0)])
    found = arranged(ranked(10.0, 7.0, 5.0, 2.0), items.get, doubled, 3, trace=True)
    assert found.placed == [Placed("i0", 10.0), Placed("i2", 5.0), Placed("i1", 7.0)]
    [stage] = found.stages
    assert [(move.item_id, move.origin, move.place, move.why) for move in stage.moved] == [
        ("i2", 2, 1, "boosted 2 times")
    ]
    twice = Merchandising(boosts=[Boost(when=ACME, factor=2.0), Boost(when=ACME, factor=1.5)])
    assert ids(arranged(ranked(10.0, 7.0, 5.0, 2.0), items.get, twice, 3).placed) == ["i2", "i0", "i1"]
    buried = Merchandising(boosts=[Boost(when=ACME, factor=0.0)])
    assert ids(arranged(ranked(10.0, 7.0, 5.0, 2.0), items.get, buried, 4).placed) == ["i0", "i1", "i2", "i3"]


def test_more_of_a_category_than_allowed_gives_way_to_what_comes_next() -> None:
    items = shop("shoes", "shoes", "shoes", "bags", None, None)
    found = arranged(ranked(6, 5, 4, 3, 2, 1), items.get, Merchandising(per_category_max=2), 4, trace=True)
    assert ids(found.placed) == ["i0", "i1", "i3", "i4"]
    [stage] = found.stages
    assert (stage.name, stage.kept, stage.removed_total) == ("categories", 4, 1)
    assert (stage.removed[0].item_id, stage.removed[0].why) == ("i2", "2 of category shoes stand before it")


def test_diversity_moves_up_what_is_unlike_the_rest_and_tells_why() -> None:
    items = shop("shoes", "shoes", "shoes", "bags")
    found = arranged(ranked(1.0, 0.9, 0.8, 0.7), items.get, Merchandising(diversity=0.7), 3, trace=True)
    assert ids(found.placed) == ["i0", "i3", "i1"]
    [stage] = found.stages
    assert {(move.item_id, move.origin, move.place, move.why) for move in stage.moved} == {
        ("i3", 3, 1, "less like what was picked before than those it passed"),
        ("i1", 1, 2, "100% like i0, which was picked before"),
    }
    assert [(out.item_id, out.why) for out in stage.removed] == [("i2", "100% like i0, which was picked before")]


@given(categories=st.lists(st.sampled_from(CATEGORIES), max_size=30), n=st.integers(1, 12), rules=RULES)
def test_whatever_is_asked_lists_are_full_without_repetition_and_within_caps(
    categories: list[str | None], n: int, rules: Merchandising
) -> None:
    items, cap = shop(*categories, *CATEGORIES[:2]), rules.per_category_max
    candidates = ranked(*(1.0 / (at + 1) for at in range(len(categories))))
    new = [Candidate(f"i{len(categories) + at}", 0.0) for at in range(2)]
    tries = Tries()
    found = arranged(candidates, items.get, rules, n, Exploring(tries, new), trace=True)
    shown, counts = ids(found.placed), Counter(categories)
    allowed = sum(count if cap is None or name is None else min(cap, count) for name, count in counts.items())
    assert len(shown) == len(set(shown)) == min(n, allowed)
    by_category = Counter(items[item_id].categories[0] for item_id in shown if items[item_id].categories)
    assert cap is None or max(by_category.values(), default=0) <= cap
    if not rules.diversity and not rules.boosts and not found.exploration:
        scores = [placed.score for placed in found.placed]
        assert scores == sorted(scores, reverse=True)
    assert [stage.kept for stage in found.stages if stage.name == "exploration"] in ([], [len(shown)])
    for pool in tries.pools:
        assert 2 <= len(pool) == len(set(pool)) <= POOL_MAX
        assert not set(pool[1:]) & (set(shown) - {shown[min(rules.exploration_place, len(shown) - 1)]})


def test_what_is_explored_is_shown_as_often_as_its_propensity_says() -> None:
    candidates, new = ranked(5, 4, 3, 2, 1), [Candidate("new", 0.0)]
    rules, exploring = Merchandising(exploration=0.6, exploration_place=1), Exploring(Tries(), new)
    shown: Counter[str] = Counter()
    for _ in range(5_000):
        found = arranged(candidates, UNKNOWN.get, rules, 3, exploring)
        explored = found.exploration
        assert explored is not None
        assert (explored.place, explored.pool) == (1, ["i1", "i3", "i4", "new"])
        assert explored.scores == [4, 2, 1, 0.0]
        assert explored.contexts[explored.chosen] == [1.0, explored.scores[explored.chosen]]
        assert sum(explored.propensities) == pytest.approx(1)
        placed = found.placed[1]
        assert placed == Placed(explored.pool[explored.chosen], explored.scores[explored.chosen], placed.propensity)
        assert placed.propensity == explored.propensities[explored.chosen]
        assert [ids(found.placed)[at] for at in (0, 2)] == ["i0", "i2"]
        assert [found.placed[at].propensity for at in (0, 2)] == [1.0, 1.0]
        shown[placed.item_id] += 1
    for item_id, propensity in zip(["i1", "i3", "i4", "new"], [0.55, 0.15, 0.15, 0.15], strict=True):
        assert shown[item_id] / 5_000 == pytest.approx(propensity, abs=0.03)


def test_what_is_explored_keeps_the_cap_beside_all_other_places() -> None:
    items = shop("shoes", "bags", "shoes", "bags", None)
    rules = Merchandising(per_category_max=1, exploration=1.0, exploration_place=1)
    tries = Tries()
    arranged(ranked(5, 4, 3, 2, 1), items.get, rules, 2, Exploring(tries))
    assert tries.pools == [["i1", "i3", "i4"]]


def test_the_trace_tells_what_was_tried_in_whose_place() -> None:
    rules, exploring = Merchandising(exploration=1.0, exploration_place=0), Exploring(Tries(seed=1))
    found = arranged(ranked(3, 2, 1), UNKNOWN.get, rules, 1, exploring, trace=True)
    assert found.exploration is not None
    assert found.exploration.chosen
    [stage], [shown] = found.stages, ids(found.placed)
    assert [(out.item_id, out.why) for out in stage.removed] == [("i0", f"{shown} is tried in its place")]
    assert stage.moved[0].why == "chosen from 3 with probability 0.333"


def test_with_nobody_else_to_try_nothing_is_explored() -> None:
    rules = Merchandising(exploration=1.0)
    found = arranged(ranked(3, 2), UNKNOWN.get, rules, 2, Exploring(Tries()))
    assert (ids(found.placed), found.exploration) == (["i0", "i1"], None)


def test_a_request_changes_what_it_names_and_adds_its_filters_and_boosts() -> None:
    policy = Merchandising(filters=[ACME], per_category_max=2, diversity=0.3, exploration_place=4)
    assert merged(policy, Changes()) is policy
    cheap = Condition(attribute="price", at_most=10.0)
    changes = Changes(filters=[cheap], boosts=[Boost(when=ACME, factor=2.0)], per_category_max=None, diversity=0.0)
    found = merged(policy, changes)
    assert found.filters == [ACME, cheap]
    assert found.boosts == [Boost(when=ACME, factor=2.0)]
    assert (found.per_category_max, found.diversity, found.exploration_place) == (None, 0.0, 4)
    assert found.exclude_seen is policy.exclude_seen
