"""Whether an item is what a filter or a boost asks for."""

from collections.abc import Callable

from services.scoring.recommendations.asked import Condition, Value
from shared.contracts.shopping import Item

CATEGORY = "category"
ITEM_ID = "item_id"

Check = Callable[[Item | None, str], bool]
"""Takes an item's entry in the catalogue, None where it has none, and its id."""


def meets(condition: Condition, item: Item | None, item_id: str) -> bool:
    """Return whether an item meets a condition; for many items, `checker` is faster."""
    return checker(condition)(item, item_id)


def checker(condition: Condition) -> Check:
    """Return the condition as a function.

    One value that passes is enough, so an item with several categories meets a condition on one of them. A condition
    without `any_of` and without bounds asks only that the attribute is there. Bounds are for numbers: no text passes.
    Of an item without an entry nothing but its id is known, so it meets no condition on anything else, `is_not` or not.
    """
    passes, attribute, is_not = _passing(condition), condition.attribute, condition.is_not
    if attribute == ITEM_ID:
        return lambda _, item_id: passes(item_id) != is_not
    if attribute == CATEGORY:
        return lambda item, _: item is not None and any(map(passes, item.categories)) != is_not
    return lambda item, _: item is not None and passes(item.attributes.get(attribute)) != is_not


def _passing(condition: Condition) -> Callable[[Value | None], bool]:
    allowed, low, high = frozenset(condition.any_of), condition.at_least, condition.at_most
    if allowed and low is None and high is None:
        return allowed.__contains__

    def passes(value: Value | None) -> bool:
        if value is None or (allowed and value not in allowed):
            return False
        if low is None and high is None:
            return True
        return not isinstance(value, str) and (low is None or value >= low) and (high is None or value <= high)

    return passes
