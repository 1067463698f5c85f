"""What a caller asks for, once it is checked."""

from collections.abc import Mapping
from typing import Annotated, NamedTuple

from msgspec import UNSET, Meta, Struct, UnsetType

from shared.contracts.fields import AttributeName, AttributeText, Identifier
from shared.contracts.shopping import InteractionKind, Surface

ITEMS_MAX = 500
"""Items of one answer at most."""
ITEMS_DEFAULT = 10
"""Items of one answer where the question does not say."""

Share = Annotated[float, Meta(ge=0, le=1)]
Value = float | AttributeText


class Condition(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an item's attribute must be: one of `any_of`, and not below `at_least` nor above `at_most`.

    The attribute `category` stands for the item's categories, `item_id` for its id. An item without the attribute does
    not meet the condition; `is_not` turns the answer round.
    """

    attribute: AttributeName
    any_of: Annotated[list[Value], Meta(max_length=1_000)] = []
    at_least: float | None = None
    at_most: float | None = None
    is_not: bool = False


class Boost(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Items that meet `when` rank as if their score were `factor` times as far above the lowest candidate's."""

    when: Condition
    factor: Annotated[float, Meta(ge=0, le=100)]


class Merchandising(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a list is put together; the policy gives it, and a request may change part of it.

    per_category_max: items of one main category in an answer. diversity: 0 ranks by score alone, 1 by difference to
    what stands before (maximal marginal relevance; Carbonell, Goldstein, 1998). exploration: probability that the
    bandit's own choice, not the model's, fills the place that is explored.
    """

    exclude_bought: bool = True
    exclude_seen: bool = True
    filters: Annotated[list[Condition], Meta(max_length=32)] = []
    boosts: Annotated[list[Boost], Meta(max_length=32)] = []
    per_category_max: Annotated[int, Meta(ge=1)] | None = None
    diversity: Share = 0.0
    exploration: Share = 0.0
    exploration_place: Annotated[int, Meta(ge=0, lt=ITEMS_MAX)] = 2


class Changes(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one request changes of the policy's Merchandising; its filters and boosts come on top."""

    exclude_bought: bool | UnsetType = UNSET
    exclude_seen: bool | UnsetType = UNSET
    filters: Annotated[list[Condition], Meta(max_length=32)] = []
    boosts: Annotated[list[Boost], Meta(max_length=32)] = []
    per_category_max: Annotated[int, Meta(ge=1)] | UnsetType | None = UNSET
    diversity: Share | UnsetType = UNSET
    exploration: Share | UnsetType = UNSET


class Recent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a shopper did just now, as the caller knows it."""

    item_id: Identifier
    kind: InteractionKind = "view"


class Asked(NamedTuple):
    """One question for items.

    user_id: whose history counts. session_id: of an anonymous shopper.
    recent: what the shopper did just now, the latest first; it goes before what is stored.
    item_ids: what is to be ranked, or what others are to be similar to.
    context: what is known of the moment, as the device or the page.
    """

    surface: Surface
    user_id: Identifier | None = None
    session_id: Identifier | None = None
    n: int = ITEMS_DEFAULT
    recent: tuple[Recent, ...] = ()
    item_ids: tuple[str, ...] = ()
    category: str | None = None
    exclude: frozenset[str] = frozenset()
    context: Mapping[str, Value] = {}
    changes: Changes = Changes()
    explain: bool = False
    trace: bool = False
