"""Whether the log of explored places speaks against a new recommender, before any shopper sees it.

Both recommenders are asked to fill each place from the pool that was there, by the history that was there; what each
would have earned is estimated from what the bandit showed, doubly robust, and their difference on the same places. The
gate keeps a model out that surely earns less; it does not ask for a sure gain: that is the promotion gate's, which has
the held-out interactions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from services.training.recommendation.explored import Estimates, Explored, Judged, estimates, judged
from services.training.recommendation.off_policy import Values, difference, inverse_propensity
from shared.models.recommender import RecommenderModel

EFFECTIVE_MIN = 50.0
"""Fewer explored places that speak of a model are no evidence."""


class OffPolicyVerdict(NamedTuple):
    """What the gate says.

    passed: nothing speaks against the candidate. lead: clicks a place more than the champion, with its 95 % interval;
    None where it cannot be told.
    """

    passed: bool
    explanation: str
    candidate: Estimates | None = None
    champion: Estimates | None = None
    lead: tuple[float, float, float] | None = None


def judge(explored: Sequence[Explored], candidate: RecommenderModel, champion: RecommenderModel) -> OffPolicyVerdict:
    """Judge a candidate by the places that were explored while another model was in service."""
    if not explored:
        return OffPolicyVerdict(passed=True, explanation="not judged by the log: no place was explored yet")
    ours = judged(explored, [choice(candidate, each) for each in explored])
    theirs = judged(explored, [choice(champion, each) for each in explored])
    worth = min(_effective(ours), _effective(theirs))
    if worth < EFFECTIVE_MIN:
        told = (
            f"not judged by the log: {len(explored)} explored places are worth {worth:.0f} of the models' own choices, "
            f"at least {EFFECTIVE_MIN:.0f} are needed; explore more, or wait"
        )
        return OffPolicyVerdict(passed=True, explanation=told)
    one, other = estimates(ours), estimates(theirs)
    lead = difference(one.doubly_robust, other.doubly_robust, ours.logged.shoppers)
    passed = lead[2] >= 0
    told = (
        f"{lead[0]:+.4f} clicks a place against the champion's {other.doubly_robust.value:.4f} "
        f"(95 % interval {lead[1]:+.4f} to {lead[2]:+.4f}, doubly robust, {len(explored)} explored places)"
    )
    return OffPolicyVerdict(passed, told if passed else f"surely worse by the log: {told}", one, other, lead)


def choice(model: RecommenderModel, place: Explored) -> Values:
    """Return with which odds a recommender fills a place from its pool: all on the item it ranks first.

    Items of the pool that it does not know rank behind those it knows, in the pool's order. Returns shape (pool,).
    """
    odds = np.zeros(len(place.pool))
    known = {at: number for number, item_id in enumerate(place.pool) if (at := model.position(item_id)) is not None}
    if not known:
        odds[0] = 1.0
        return odds
    mask = np.zeros(len(model.item_ids), dtype=np.bool_)
    mask[list(known)] = True
    history = [at for item_id in place.recent if (at := model.position(item_id)) is not None]
    items = np.array(history, dtype=np.int64)
    top = model.recommend(items, np.ones(len(items), dtype=np.float32), mask, k=1)
    odds[known[int(top.items[0])]] = 1.0
    return odds


def _effective(of: Judged) -> float:
    return inverse_propensity(of.logged).effective
