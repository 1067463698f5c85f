"""The events of a shop: what it offers, what shoppers do, and what they were shown."""

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from shared.contracts.events import Event
from shared.contracts.fields import Attributes, Identifier, Instant

InteractionKind = Literal["view", "cart", "purchase", "like", "dislike"]


class Interaction(Event, frozen=True, kw_only=True):
    """What a shopper did with an item."""

    user_id: Identifier
    item_id: Identifier
    kind: InteractionKind
    quantity: Annotated[int, Meta(ge=1, le=10**6)] = 1
    session_id: Identifier | None = None
    recommendation_id: Identifier | None = None
    attributes: Attributes = field(default_factory=dict)


class Item(Event, frozen=True, kw_only=True):
    """What a shop offers, as it is from now on: the latest event of an item is the item."""

    item_id: Identifier
    categories: Annotated[list[Identifier], Meta(max_length=32, description="The main one first.")] = field(
        default_factory=list
    )
    attributes: Attributes = field(default_factory=dict)
    is_available: bool = True
    available_from: Annotated[Instant | None, Meta(description="Shown from then on.")] = None
    expires_at: Annotated[Instant | None, Meta(description="Not shown from then on.")] = None
    is_deleted: bool = False


class User(Event, frozen=True, kw_only=True):
    """What is known of a shopper, as it is from now on: the latest event of a user is the user."""

    user_id: Identifier
    attributes: Attributes = field(default_factory=dict)
    is_deleted: bool = False


class ShownItem(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One item of an impression."""

    item_id: Identifier
    score: float
    propensity: Annotated[
        float,
        Meta(gt=0, le=1, description="Probability of showing it in this place, given what stands in the others."),
    ]


class Exploration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The place of a list that the bandit filled, and everything needed to learn from it and to judge another policy.

    `contexts` and `propensities` have an entry for each of `pool`; `chosen` is the position in `pool` that was shown.
    """

    place: Annotated[int, Meta(ge=0, description="Position in `items` of the impression, from 0.")]
    pool: Annotated[list[Identifier], Meta(min_length=1, max_length=64)]
    scores: Annotated[list[float], Meta(description="What the model gave each; the item it would have shown is first.")]
    contexts: list[list[float]]
    propensities: list[Annotated[float, Meta(ge=0, le=1)]]
    chosen: Annotated[int, Meta(ge=0)]


Surface = Literal["user", "session", "similar", "popular", "trending", "rank"]


class Impression(Event, frozen=True, kw_only=True):
    """The items a shopper was shown; later interactions carry its `recommendation_id`."""

    recommendation_id: Identifier
    user_id: Annotated[Identifier, Meta(description="The shopper; of an anonymous one the session.")]
    surface: Surface = "user"
    items: list[ShownItem]
    recent: Annotated[
        list[Identifier], Meta(max_length=64, description="Items of the history that the model saw, the latest first.")
    ] = field(default_factory=list)
    model_name: Identifier
    model_version: Annotated[int, Meta(ge=0, description="0 when no model was in service.")]
    policy_version: Annotated[int, Meta(ge=0, description="0 before the first policy is published.")] = 0
    experiment: Identifier | None = None
    arm: Identifier | None = None
    exploration: Exploration | None = None
