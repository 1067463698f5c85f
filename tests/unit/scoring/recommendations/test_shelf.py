"""A shelf tells of all items at once what the catalogue tells of one."""

import random
import weakref
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.recommendations.asked import Condition, Value
from services.scoring.recommendations.catalogue import Catalogue
from services.scoring.recommendations.shelf import CONDITIONS_MAX, Shelf
from shared.contracts.shopping import Item
from tests.events import START
from tests.unit.scoring.recommendations.catalogue_scene import catalogue_of, item

HOUR = timedelta(hours=1)
IDS = [f"item-{n}" for n in range(150)]
VALUES: list[Value] = ["red", "blue", "", "1", 1.0, 2.5, -3.0]
# Some are had by many items, so that they become arrays, and some by few.
SHARES = {"colour": 0.9, "price": 0.6, "rare": 0.05, "category": 0.1}
ATTRIBUTES = ["category", "item_id", *SHARES, "nobody has it"]


def random_item(chance: random.Random) -> Item:
    times = [None, None, *(START + n * HOUR for n in range(-3, 4))]
    return item(
        chance.choice(IDS),
        categories=chance.sample(["shoes", "hats", "sale", "red"], chance.randrange(4)),
        attributes={name: chance.choice(VALUES) for name, share in SHARES.items() if chance.random() < share},
        is_available=chance.random() < 0.9,
        available_from=chance.choice(times),
        expires_at=chance.choice(times),
        is_deleted=chance.random() < 0.1,
    )


def random_condition(chance: random.Random) -> Condition:
    values = [*VALUES, "shoes", "sale", *IDS[:3]]
    bounds = [None, None, -5.0, 1.0, 2.0, 9.0]
    return Condition(
        attribute=chance.choice(ATTRIBUTES),
        any_of=chance.sample(values, chance.randrange(4)),
        at_least=chance.choice(bounds),
        at_most=chance.choice(bounds),
        is_not=chance.random() < 0.3,
    )


def one_by_one(catalogue: Catalogue, *asked: object) -> list[bool]:
    return [catalogue.is_shown(item_id, *asked) for item_id in IDS]  # type: ignore[arg-type]


@given(seed=st.integers(0, 2**32))
def test_it_tells_of_all_items_what_the_catalogue_tells_of_each(seed: int) -> None:
    chance = random.Random(seed)
    catalogue = catalogue_of(*(random_item(chance) for _ in range(chance.randrange(300))))
    shelf = Shelf(IDS, catalogue)
    conditions = [random_condition(chance) for _ in range(6)]
    for _ in range(8):
        for _ in range(chance.randrange(60)):
            catalogue.apply(random_item(chance))
        now = START + chance.randrange(-4, 5) * HOUR
        category = chance.choice([None, None, "shoes", "nothing"])
        asked = chance.sample(conditions, chance.randrange(3))
        assert shelf.mask(now, category, asked).tolist() == one_by_one(catalogue, now, category, asked)


def test_a_clock_that_is_set_back_finds_what_was_so_then() -> None:
    catalogue = catalogue_of()
    shelf = Shelf(["a"], catalogue)
    assert shelf.mask(START + 2 * HOUR, None, []).all()
    catalogue.apply(item("a", available_from=START + HOUR))
    assert shelf.mask(START + 2 * HOUR, None, []).all()
    assert not shelf.mask(START, None, []).any()


def test_a_mask_belongs_to_who_asked() -> None:
    shelf = Shelf(["a", "b"], catalogue_of())
    shelf.mask(START, None, [])[:] = False
    assert shelf.mask(START, None, []).tolist() == [True, True]


def test_more_conditions_than_are_kept_are_answered_as_well() -> None:
    catalogue = catalogue_of(item("a", attributes={"price": 3.5}))
    shelf = Shelf(["a"], catalogue)
    for _ in range(2):
        shown = [
            bool(shelf.mask(START, None, [Condition(attribute="price", at_least=float(n))])[0])
            for n in range(2 * CONDITIONS_MAX)
        ]
        assert shown == [n <= 3 for n in range(2 * CONDITIONS_MAX)]
        catalogue.apply(item("a", attributes={"price": 3.9}))


def test_an_item_of_another_model_changes_nothing() -> None:
    catalogue = catalogue_of()
    shelf = Shelf(["a"], catalogue)
    catalogue.apply(item("b", is_available=False))
    assert shelf.mask(START, None, []).tolist() == [True]


def test_a_shelf_that_nobody_uses_is_let_go() -> None:
    catalogue = catalogue_of()
    gone = weakref.ref(Shelf(["a"], catalogue))
    assert gone() is None
    catalogue.apply(item("a"))


@pytest.mark.parametrize("ids", [[], ["a"]])
def test_without_items_or_a_catalogue_there_is_still_an_answer(ids: list[str]) -> None:
    shelf = Shelf(ids, catalogue_of())
    assert shelf.mask(START, None, []).dtype == np.bool_
    assert shelf.mask(START, None, []).all()
    assert not shelf.mask(START, "shoes", [Condition(attribute="colour")]).any()
