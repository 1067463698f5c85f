"""Maximal marginal relevance, held against the definition written out slowly."""

import threading
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.recommendations import diversity as module
from services.scoring.recommendations.diversity import DiversityCompiled, diversified
from shared.contracts.shopping import Item
from tests.unit.scoring.recommendations.catalogue_scene import item

CATEGORIES = st.lists(st.sampled_from(["shoes", "bags", "hats"]), max_size=3)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(["brand", "colour", "price"]), st.sampled_from(["a", "b", 1.0, 2.0]), max_size=3
)
ENTRIES = st.one_of(st.none(), st.builds(lambda c, a: item("any", categories=c, attributes=a), CATEGORIES, ATTRIBUTES))


def likeness(one: Item | None, other: Item | None) -> float:
    mine, yours = (
        set() if entry is None else {*entry.categories, *(p for p in entry.attributes.items() if isinstance(p[1], str))}
        for entry in (one, other)
    )
    return len(mine & yours) / len(mine | yours) if mine | yours else 0.0


def slowly(strengths: Sequence[float], entries: Sequence[Item | None], count: int, diversity: float) -> list[int]:
    lowest, highest = min(strengths), max(strengths)
    relevance = [(value - lowest) / (highest - lowest) if highest > lowest else 0.0 for value in strengths]
    picked: list[int] = []
    while len(picked) < min(count, len(entries)):
        values = {
            at: (1 - diversity) * relevance[at]
            - diversity * max((likeness(entries[at], entries[before]) for before in picked), default=0.0)
            for at in range(len(entries))
            if at not in picked
        }
        picked.append(max(values, key=lambda at: (values[at], -at)))
    return picked


@given(
    of=st.lists(st.tuples(st.integers(0, 8), ENTRIES), min_size=1, max_size=12),
    count=st.integers(1, 12),
    diversity=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
)
def test_it_picks_what_the_definition_says(of: list[tuple[int, Item | None]], count: int, diversity: float) -> None:
    strengths, entries = [float(strength) for strength, _ in of], [entry for _, entry in of]
    found = diversified(np.array(strengths), entries, count, diversity)
    assert found.places.tolist() == slowly(strengths, entries, count, diversity)
    picked = found.places.tolist()
    for at, entry in enumerate(entries):
        before = picked[: picked.index(at)] if at in picked else picked
        assert found.likeness[at] == max((likeness(entry, entries[other]) for other in before), default=0.0)
        if found.like[at] >= 0:
            assert likeness(entry, entries[int(found.like[at])]) == found.likeness[at]


def test_an_entry_that_is_replaced_counts_as_it_is_now() -> None:
    first = [item("a", categories=["shoes"]), item("b", categories=["shoes"]), item("c", categories=["hats"])]
    strengths = np.array([3.0, 2.0, 1.0])
    assert diversified(strengths, first, 3, 0.6).places.tolist() == [0, 2, 1]
    moved = [first[0], item("b", categories=["bags"]), first[2]]
    assert diversified(strengths, moved, 3, 0.6).places.tolist() == [0, 1, 2]


def test_what_is_compiled_when_scoring_starts_is_all_that_a_question_needs() -> None:
    worker = DiversityCompiled()
    assert worker.problem() is not None
    worker.run(threading.Event())
    assert worker.problem() is None
    diversified(np.array([3.0, 3.0]), [item("a", categories=["shoes"]), None], 1, 1.0)
    assert len(module._picked.signatures) == 1  # type: ignore[attr-defined]
