"""What the bandit judges an item by: one short row of numbers an item of the pool, from what is known at the moment."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.scoring.recommendations.arranging import Candidate, ItemOf
from services.scoring.recommendations.trials import Trials
from shared.contracts.shopping import Item

Contexts = npt.NDArray[np.float64]
"""Shape (pool, len(FEATURES))."""

FEATURES = ("constant", "score", "rank", "popularity", "is_new", "affinity", "click_share", "unshown")
"""The columns, in their order.

constant: 1. score: the model's, 0 the lowest and 1 the best of the pool. rank: 1 / log2(2 + place) among those the
model knows, places from 0. popularity: see Audience.popularity. is_new: 1 where the model does not know the item, which
then has no score and no rank. affinity: share of the shopper's recent items that have one of its categories.
click_share: clicks by trials, drawn to the share of all items, as a multiple of that; 1 is four times. unshown:
1 / sqrt(1 + trials).
"""

UNIT = 1 / 1_024
"""Contexts are multiples of this, so that their sums are exact and come out the same in any order."""
LARGEST = 4.0

_RECENT_ITEMS = 20
_USUAL_TRIALS = 20.0
_LIFT_MAX = 4.0


class Moment(NamedTuple):
    """What is known of the moment in which somebody asks.

    knows: tells whether the model knows an item. interests: see the function of that name.
    """

    item_of: ItemOf
    knows: Callable[[str], bool]
    interests: Mapping[str, float] = {}


def interests(recent: Sequence[str], item_of: ItemOf) -> dict[str, float]:
    """Return of each category the share of a shopper's recent items, the latest first, that have it."""
    items = [item for item in map(item_of, recent[:_RECENT_ITEMS]) if item is not None]
    shares: dict[str, float] = {}
    for item in items:
        for category in dict.fromkeys(item.categories):
            shares[category] = shares.get(category, 0.0) + 1 / len(items)
    return shares


def contexts_of(
    pool: Sequence[Candidate], moment: Moment, popularity: Callable[[str], float], trials: Callable[[str], Trials]
) -> Contexts:
    """Return the contexts of a pool; popularity: see Audience; trials: of an item, and of all under the id ""."""
    item_ids = [item_id for item_id, _ in pool]
    known = np.array([moment.knows(item_id) for item_id in item_ids], dtype=np.bool_)
    shown, clicked = np.array([trials(item_id) for item_id in item_ids]).T
    usual = trials("").click_share
    click_shares = (clicked + _USUAL_TRIALS * usual) / (shown + _USUAL_TRIALS)
    columns = (
        np.ones(len(pool)),
        _relative(np.array([score for _, score in pool]), known),
        known / np.log2(1 + np.maximum(1, np.cumsum(known))),
        [popularity(item_id) for item_id in item_ids],
        ~known,
        [_affinity(moment.item_of(item_id), moment.interests) for item_id in item_ids],
        click_shares / (_LIFT_MAX * usual),
        1 / np.sqrt(1 + shown),
    )
    return in_units(np.column_stack(columns)).astype(np.float64) * UNIT


def in_units(rows: Contexts) -> npt.NDArray[np.int64]:
    """Return how many UNIT each number is; those beyond LARGEST are cut to it."""
    return np.rint(np.clip(rows, -LARGEST, LARGEST) / UNIT).astype(np.int64)


def _relative(scores: Contexts, known: npt.NDArray[np.bool_]) -> Contexts:
    """Return scores from 0, the lowest of the known, to 1, the best; 0 of those that are not."""
    lowest, best = scores.min(where=known, initial=np.inf), scores.max(where=known, initial=-np.inf)
    if best > lowest:
        return np.where(known, (scores - lowest) / (best - lowest), 0.0)
    return known.astype(np.float64)


def _affinity(item: Item | None, shares: Mapping[str, float]) -> float:
    if item is None or not shares:
        return 0.0
    return max((shares.get(category, 0.0) for category in item.categories), default=0.0)
