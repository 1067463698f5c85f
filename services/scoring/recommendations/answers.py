"""What is answered to a question for items."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from services.scoring.recommendations.tracing import Stage

Degradation = Literal["model", "history", "item", "impressions"]


class ItemReason(Struct, frozen=True, kw_only=True):
    """Why an item is shown: a code for machines, a sentence for people."""

    code: Annotated[
        Literal["because", "popular", "similar", "trending", "explored", "new"],
        Meta(
            description="because: of `item_id` in the shopper's history. explored: to learn whether it is liked. new: "
            "no model knows it yet."
        ),
    ]
    text: str
    item_id: str | UnsetType = UNSET
    share: (
        Annotated[float, Meta(ge=0, le=1, description="Of all that speaks for the item, what `item_id` does.")]
        | UnsetType
    ) = UNSET


class ItemContribution(Struct, frozen=True, kw_only=True):
    """What one item of the history adds to a score."""

    item_id: Annotated[str | None, Meta(description="null: what popularity adds.")]
    contribution: float


class RecommendedItem(Struct, frozen=True, kw_only=True):
    """One item of an answer."""

    item_id: str
    score: Annotated[float, Meta(description="The model's own; rules may put an item before one with a higher score.")]
    reason: ItemReason
    contributions: (
        Annotated[
            list[ItemContribution],
            Meta(description="With explain: they add up to the score; of what no model scored there are none."),
        ]
        | UnsetType
    ) = UNSET


class RecommendationAnswer(Struct, frozen=True, kw_only=True):
    """Items, best first.

    Interactions that come of them may carry the `recommendation_id`: a click is then known to be one.
    """

    recommendation_id: str
    items: list[RecommendedItem]
    model_name: str
    model_version: Annotated[int, Meta(ge=0, description="0 when no model chose.")]
    policy_version: Annotated[int, Meta(ge=0, description="0 before the first policy is published.")]
    experiment: Annotated[str | None, Meta(description="The one that runs.")]
    arm: Annotated[str | None, Meta(description="The shopper's arm of it.")]
    degraded: Annotated[
        list[Degradation],
        Meta(
            description="What was missing. model: none is in service, so these are popular, and behind them new in the "
            "catalogue. history: the store did not give it in time, so the shopper counts as unknown. item: the model "
            "does not know it yet, so these are popular, or new, in its category. impressions: that these were shown "
            "is not on record."
        ),
    ]
    notes: Annotated[list[str] | UnsetType, Meta(description="What the caller may not have meant.")] = UNSET
    trace: Annotated[list[Stage] | UnsetType, Meta(description="What each stage removed or moved.")] = UNSET
