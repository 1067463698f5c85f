"""Which payments are reviewed and which declined: the thresholds that cost least money on held-out scores."""

from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from services.training.evaluation.scored import Scored, require_both_classes
from shared.models.manifest import Thresholds

DECLINE_NOTHING = 2.0
"""The threshold where taking nothing costs least: no score reaches it."""

Action = Literal["approve", "review", "decline"]


@dataclass(frozen=True)
class Costs:
    """What a decision costs, in minor units of money.

    review_minor_units: a review, which is taken to tell the truth. chargeback_minor_units: fee for a fraud that was
    approved, beside its amount, which is lost. declined_genuine_minor_units and declined_genuine_share: what a declined
    genuine payment costs in any case, and the share of its amount that goes with it, as margin and goodwill.

    Raises:
        ValueError: a cost is negative.
    """

    review_minor_units: float
    chargeback_minor_units: float
    declined_genuine_minor_units: float
    declined_genuine_share: float

    def __post_init__(self) -> None:
        negative = [field.name for field in fields(self) if not getattr(self, field.name) >= 0]
        if negative:
            raise ValueError(f"a cost is at least 0: {', '.join(negative)}")


class ActionCosts(NamedTuple):
    """What each payment costs by what is done with it: shape (n,) each, minor units."""

    approve: npt.NDArray[np.float64]
    review: npt.NDArray[np.float64]
    decline: npt.NDArray[np.float64]


class Outcome(NamedTuple):
    """What became of the payments of one action; amounts and cost in minor units, over the whole time."""

    action: Action
    frauds: int
    fraud_amount: int
    genuine: int
    genuine_amount: int
    cost: float


def choose_thresholds(scored: Scored, costs: Costs, *, reviews_a_day_max: int | None = None) -> Thresholds:
    """Return the review and decline thresholds with the lowest total cost; of equals those that take fewest payments.

    reviews_a_day_max: where given, as many payments are reviewed as fit into this on every day (UTC), and the decline
    threshold is the cheapest that goes with it. Thresholds lie halfway between two scores, so that rounding never moves
    a payment across.

    Raises:
        RefusedError: the payments are all fraud or all genuine.
    """
    require_both_classes(scored)
    order = np.argsort(-scored.scores, kind="stable")
    ranked = scored.scores[order].astype(np.float64)
    approve, review, decline = (_prefix_sums(cost[order]) for cost in _action_costs(scored, costs))
    # Taking the first i payments; a cut may only fall where the score changes: equal scores share a decision.
    cuts = np.concatenate([[0], np.flatnonzero(ranked[:-1] > ranked[1:]) + 1, [len(ranked)]])
    # Declining the first i and reviewing up to j costs (decline - review)[i] + (review - approve)[j] + a constant.
    by_decline, by_review = (decline - review)[cuts], (review - approve)[cuts]
    if reviews_a_day_max is None:
        lowest = np.minimum.accumulate(by_decline)
        at_review = int(np.argmin(lowest + by_review))
        at_decline = int(np.argmin(by_decline[: at_review + 1]))
    else:
        ends = _fullest(scored.days[order], reviews_a_day_max)[cuts]
        last = np.searchsorted(cuts, ends, side="right") - 1
        at_decline = int(np.argmin(by_decline + by_review[last]))
        at_review = int(last[at_decline])
    levels = np.concatenate([[DECLINE_NOTHING], (ranked[cuts[1:] - 1] + np.append(ranked[cuts[1:-1]], 0.0)) / 2])
    return Thresholds(review=float(levels[at_review]), decline=float(levels[at_decline]))


def cost_of(scored: Scored, thresholds: Thresholds, costs: Costs) -> npt.NDArray[np.float64]:
    """Return what each payment costs when it is decided by `thresholds`: shape (n,), minor units."""
    by_action = _action_costs(scored, costs)
    declined, taken = scored.at_or_above(thresholds.decline), scored.at_or_above(thresholds.review)
    return np.where(declined, by_action.decline, np.where(taken, by_action.review, by_action.approve))


def outcomes(scored: Scored, thresholds: Thresholds, costs: Costs) -> tuple[Outcome, ...]:
    """Return what becomes of the payments, by action."""
    declined, taken = scored.at_or_above(thresholds.decline), scored.at_or_above(thresholds.review)
    cost, is_fraud = cost_of(scored, thresholds, costs), scored.frauds.astype(np.bool_)
    acted: tuple[tuple[Action, npt.NDArray[np.bool_]], ...] = (
        ("approve", ~taken & ~declined),
        ("review", taken & ~declined),
        ("decline", declined),
    )
    return tuple(
        Outcome(
            action,
            frauds=int((among & is_fraud).sum()),
            fraud_amount=int(scored.amounts[among & is_fraud].sum()),
            genuine=int((among & ~is_fraud).sum()),
            genuine_amount=int(scored.amounts[among & ~is_fraud].sum()),
            cost=float(cost[among].sum()),
        )
        for action, among in acted
    )


def costs_by_review_threshold(
    scored: Scored, decline: float, costs: Costs
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the scores below `decline`, ascending, then `decline`; and the total cost of reviewing from each on."""
    order = np.argsort(scored.scores, kind="stable")
    ranked = scored.scores[order].astype(np.float64)
    by_action = _action_costs(scored, costs)
    end = int(np.searchsorted(ranked, decline))
    approve, review = (_prefix_sums(cost[order][:end]) for cost in (by_action.approve, by_action.review))
    declined = float(by_action.decline[order][end:].sum())
    cuts = np.append(np.flatnonzero(np.diff(ranked[:end], prepend=-np.inf)), end)
    return np.append(ranked[cuts[:-1]], decline), approve[cuts] + (review[-1] - review[cuts]) + declined


def _action_costs(scored: Scored, costs: Costs) -> ActionCosts:
    is_fraud, amounts = scored.frauds.astype(np.bool_), scored.amounts.astype(np.float64)
    penalty = costs.declined_genuine_minor_units + costs.declined_genuine_share * amounts
    return ActionCosts(
        approve=np.where(is_fraud, amounts + costs.chargeback_minor_units, 0.0),
        review=np.full(len(amounts), float(costs.review_minor_units)),
        decline=np.where(is_fraud, 0.0, penalty),
    )


def _prefix_sums(costs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the sum of the first i costs for each i from 0 to n, shape (n + 1,)."""
    return np.concatenate([[0.0], np.cumsum(costs)])


def _fullest(days: npt.NDArray[np.int64], a_day_max: int) -> npt.NDArray[np.int64]:
    """Return for each start i from 0 to n how far payments can be taken with at most `a_day_max` of each day.

    days: of each payment, in the order in which they are taken. Shape (n + 1,), each at least its i.
    """
    by_day = np.argsort(days, kind="stable")
    # The payment after `a_day_max` others of its day ends every stretch that holds all of those.
    later, earlier = by_day[a_day_max:], by_day[: max(0, len(days) - a_day_max)]
    same = days[later] == days[earlier]
    ends = np.full(len(days) + 1, len(days))
    ends[earlier[same]] = later[same]
    return np.minimum.accumulate(ends[::-1])[::-1]
