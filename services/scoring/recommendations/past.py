"""A shopper's past, as a model takes it."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.scoring.recommendations.asked import Recent
from shared.features.state import identity, microseconds
from shared.models.recommender import RecommenderModel
from shared.recommendation.history import KINDS, RECORD, Records, item_weights

_PURCHASE, _DISLIKE = KINDS.index("purchase"), KINDS.index("dislike")

Positions = npt.NDArray[np.int64]
"""Of items, in a model's order."""


class Past(NamedTuple):
    """What counts for the scores, the latest first: `items`, `weights` and `kinds`, places in KINDS, of shape (n,).

    seen: positions of all items there is a record of; bought and disliked are among them.
    """

    items: Positions
    weights: npt.NDArray[np.float32]
    kinds: npt.NDArray[np.uint8]
    seen: Positions
    bought: Positions
    disliked: Positions


_NOWHERE: Positions = np.empty(0, dtype=np.int64)
NOTHING = Past(_NOWHERE, np.empty(0, dtype=np.float32), np.empty(0, dtype=np.uint8), _NOWHERE, _NOWHERE, _NOWHERE)
"""The past of somebody who is not known."""


def with_recent(records: Records, recent: Sequence[Recent], now: datetime) -> Records:
    """Return a history, the latest first, with what the caller knows of this moment before it."""
    if not recent:
        return records
    added = np.zeros(len(recent), dtype=RECORD)
    added["time"] = microseconds(now)
    added["item"] = [identity(each.item_id) for each in recent]
    added["kind"] = [KINDS.index(each.kind) for each in recent]
    added["quantity"] = 1
    return np.concatenate([added, records])


def past_of(model: RecommenderModel, records: Records, now: datetime) -> Past:
    """Return a history as `model` takes it; records: the latest first."""
    if not len(records):
        return NOTHING
    positions, kinds = model.positions_of(records["item"]), records["kind"]
    weights = item_weights(records, model.kind_weights, now=now, half_life_seconds=model.half_life_seconds)
    is_known = positions >= 0
    counted = np.flatnonzero(is_known & (weights > 0) & (kinds != _DISLIKE))[: model.history_max]
    return Past(
        positions[counted],
        weights[counted],
        kinds[counted],
        seen=positions[is_known],
        bought=positions[is_known & (kinds == _PURCHASE)],
        disliked=positions[is_known & (kinds == _DISLIKE)],
    )


def past_item(position: int) -> Past:
    """Return the past of somebody who has looked at one item."""
    return NOTHING._replace(
        items=np.array([position], dtype=np.int64),
        weights=np.ones(1, dtype=np.float32),
        kinds=np.zeros(1, dtype=np.uint8),
    )


class Known(NamedTuple):
    """Items of a past by the hashes of their ids, where no model tells their positions."""

    seen: frozenset[int]
    bought: frozenset[int]
    disliked: frozenset[int]


def known_of(records: Records) -> Known:
    """Return which items a history has."""
    items, kinds = records["item"], records["kind"]
    return Known(
        frozenset(items.tolist()),
        frozenset(items[kinds == _PURCHASE].tolist()),
        frozenset(items[kinds == _DISLIKE].tolist()),
    )
