"""Held-out cases: what shoppers touched next, and how high a recommender as it serves would have ranked it.

A case is the first time a shopper touches an item, after a moment that the recommender has not seen. It ranks the whole
catalogue but what the shopper touched before, from the history up to that instant, as a request then would have. Cases
of shoppers who are not fully trusted are left out: who recommends what they push would look good on them.
"""

from datetime import datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.training.recommendation.export_gate import HeldOut
from services.training.recommendation.interactions import Interactions
from shared.features.state import identity, microseconds
from shared.models.recommender import RecommenderModel

SHOWN = 10
"""Length of the lists that a recommender is judged by."""
CASES_MAX = 4_000
CASES_A_SHOPPER_MAX = 10

_SEED = 0

Places = npt.NDArray[np.int64]


class Cases(NamedTuple):
    """Touches to be foretold, shape (n,) each: places in the interactions, and whose they are."""

    events: Places
    shoppers: Places


class Ranked(NamedTuple):
    """What a recommender made of n cases.

    ranks: shape (n,), from 1; SHOWN + 1 where the item was not among the first SHOWN, or is not known to it.
    shown: shape (n, SHOWN), what it showed, as places in the interactions' items; -1 where there was nothing left.
    """

    ranks: Places
    shown: Places


def held_out_since(data: Interactions, trained_until: datetime | None, *, fraction: float) -> int:
    """Return from when on interactions are held out, microseconds since 1970: the latest `fraction` of them.

    trained_until: of the champion, to whom what is held out must be new as well; then no more than the later half of
    what is new to it, since a model that has seen nothing newer cannot be better for it.
    """
    times = np.sort(data.histories.times)
    since = int(times[int(len(times) * (1 - fraction))])
    if trained_until is None:
        return since
    new = times[times > microseconds(trained_until)]
    return max(since, int(new[len(new) // 2]) if len(new) else int(times[-1]) + 1)


def held_out_cases(data: Interactions, *, since_us: int) -> Cases:
    """Return the cases from `since_us` (microseconds since 1970) on; of too many, those of shoppers drawn at random."""
    histories = data.histories
    shoppers = histories.users
    pairs = shoppers * len(data.item_ids) + histories.items
    is_first = np.zeros(len(pairs), dtype=np.bool_)
    is_first[np.unique(pairs, return_index=True)[1]] = True
    found = np.flatnonzero(is_first & (histories.times >= since_us) & (data.trust >= 1))
    begins, counts = np.unique(shoppers[found], return_index=True, return_counts=True)[1:]
    within = np.arange(len(found)) - np.repeat(begins, counts)
    found = found[within < CASES_A_SHOPPER_MAX]
    drawn = np.random.default_rng(_SEED).permutation(len(data.user_ids))[shoppers[found]]
    taken = np.sort(found[np.argsort(drawn, kind="stable")[:CASES_MAX]])
    return Cases(taken, shoppers[taken])


def ranked(model: RecommenderModel, data: Interactions, cases: Cases, *, popularity_alone: bool = False) -> Ranked:
    """Return how the model ranks the cases; popularity_alone: as if it knew nobody's history."""
    known = _known(model, data)
    place_of = np.full(len(model.item_ids), -1, dtype=np.int64)
    place_of[known[known >= 0]] = np.flatnonzero(known >= 0)
    ranks = np.full(len(cases.events), SHOWN + 1, dtype=np.int64)
    shown = np.full((len(cases.events), SHOWN), -1, dtype=np.int64)
    for at, (event, shopper) in enumerate(zip(cases.events, cases.shoppers, strict=True)):
        mask = np.ones(len(model.item_ids), dtype=np.bool_)
        touched = known[data.histories.items[data.histories.offsets[shopper] : event]]
        mask[touched[touched >= 0]] = False
        items, weights, segment = _history(model, data, known, int(event), int(shopper))
        if popularity_alone:
            items, weights = items[:0], weights[:0]
        top = model.recommend(items, weights, mask, k=SHOWN, segment=segment).items
        shown[at, : len(top)] = place_of[top]
        hit = np.flatnonzero(top == known[data.histories.items[event]])
        if len(hit):
            ranks[at] = hit[0] + 1
    return Ranked(ranks, shown)


def histories_before(model: RecommenderModel, data: Interactions, cases: Cases) -> list[HeldOut]:
    """Return the history of each case as scoring would have given it to the model."""
    known = _known(model, data)
    return [
        _history(model, data, known, int(event), int(shopper))
        for event, shopper in zip(cases.events, cases.shoppers, strict=True)
    ]


def _known(model: RecommenderModel, data: Interactions) -> Places:
    """Return the model's positions of the interactions' items; -1 for those it does not know."""
    return model.positions_of(np.array([identity(item_id) for item_id in data.item_ids], dtype=np.int64))


def _history(model: RecommenderModel, data: Interactions, known: Places, event: int, shopper: int) -> HeldOut:
    histories = data.histories
    before = slice(int(histories.offsets[shopper]), event)
    items = known[histories.items[before]][::-1]
    weights = (histories.weights[before] / data.trust[before])[::-1].astype(np.float64)
    if model.half_life_seconds is not None:
        ages_seconds = (histories.times[event] - histories.times[before][::-1]) / 1e6
        weights = weights * np.exp2(-ages_seconds / model.half_life_seconds)
    is_known = items >= 0
    length = model.history_max
    segment = data.segments[histories.segments[shopper] - 1] if histories.segments[shopper] else None
    return HeldOut(
        items[is_known][:length],
        weights[is_known][:length].astype(np.float32),
        model.segments.index(segment) + 1 if segment in model.segments else 0,
    )
