"""Which items a filter or a boost means."""

import pytest

from services.scoring.recommendations.asked import Condition, Value
from services.scoring.recommendations.conditions import meets
from tests.unit.scoring.recommendations.catalogue_scene import item

SHOE = item("shoe-1", categories=["shoes", "sale"], attributes={"brand": "acme", "price": 40.0, "size": "42"})


@pytest.mark.parametrize(
    ("attribute", "any_of", "at_least", "at_most", "is_met"),
    [
        ("brand", ["acme"], None, None, True),
        ("brand", ["other", "acme"], None, None, True),
        ("brand", ["Acme"], None, None, False),
        ("brand", [], None, None, True),
        ("colour", [], None, None, False),
        ("colour", ["red"], None, None, False),
        ("category", ["sale"], None, None, True),
        ("category", ["bags"], None, None, False),
        ("item_id", ["shoe-1", "shoe-2"], None, None, True),
        ("item_id", ["shoe-2"], None, None, False),
        ("price", [40.0], None, None, True),
        ("price", [], 40.0, 40.0, True),
        ("price", [], 40.5, None, False),
        ("price", [], None, 39.5, False),
        ("price", [30.0, 40.0], 35.0, None, True),
        ("price", [30.0], 35.0, None, False),
        ("size", [], 40.0, None, False),
        ("size", [42.0], None, None, False),
    ],
)
def test_an_item_meets_what_it_says_and_not_its_opposite(
    attribute: str, any_of: list[Value], at_least: float | None, at_most: float | None, is_met: bool
) -> None:
    asked = Condition(attribute=attribute, any_of=any_of, at_least=at_least, at_most=at_most)
    opposite = Condition(attribute=attribute, any_of=any_of, at_least=at_least, at_most=at_most, is_not=True)
    assert meets(asked, SHOE, "shoe-1") is is_met
    assert meets(opposite, SHOE, "shoe-1") is not is_met


@pytest.mark.parametrize("is_not", [False, True])
def test_of_an_item_without_an_entry_only_its_id_is_known(is_not: bool) -> None:
    assert not meets(Condition(attribute="brand", any_of=["acme"], is_not=is_not), None, "shoe-1")
    assert not meets(Condition(attribute="category", is_not=is_not), None, "shoe-1")
    assert meets(Condition(attribute="item_id", any_of=["shoe-1"], is_not=is_not), None, "shoe-1") is not is_not
