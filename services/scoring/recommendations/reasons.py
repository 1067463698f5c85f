"""Why items are shown: what of the shopper's history speaks for each, exactly as the graph that scored counts it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from msgspec import UNSET

from services.scoring.recommendations.answers import ItemContribution, ItemReason, RecommendedItem
from services.scoring.recommendations.arranging import Placed
from services.scoring.recommendations.candidates import Scored
from shared.models.recommender import Contributions
from shared.recommendation.history import KINDS

_DID = {"view": "viewed {}", "cart": "put {} into the cart", "purchase": "bought {}", "like": "liked {}"}
NEW = ItemReason(code="new", text="new, or not yet known to the model")
_EXPLORED = ItemReason(code="explored", text="shown to learn whether shoppers like it")
POPULAR = ItemReason(code="popular", text="popular")
TRENDING = ItemReason(code="trending", text="asked for more than usual now")


def explained(
    scored: Scored, placed: Sequence[Placed], *, explored_at: int | None, explain: bool
) -> list[RecommendedItem]:
    """Return the items of an answer with the reason for each.

    explored_at: the place that was filled by the bandit, against the model. explain: with all contributions.
    """
    model, past = scored.recommending.model, scored.past
    positions = [model.position(item.item_id) for item in placed]
    targets = np.array([at for at in positions if at is not None], dtype=np.int64)
    parts = model.contributions(past.items, past.weights, targets, segment=scored.segment, popularity=scored.popularity)
    speaking = _Speaking(scored, parts)
    shown, row = [], 0
    for place, (item, position) in enumerate(zip(placed, positions, strict=True)):
        is_known = position is not None
        reason = _EXPLORED if place == explored_at else speaking.reason(row) if is_known else NEW
        contributions = speaking.contributions(row) if is_known and explain else UNSET
        shown.append(
            RecommendedItem(item_id=item.item_id, score=item.score, reason=reason, contributions=contributions)
        )
        row += is_known
    return shown


class _Main(NamedTuple):
    """The item of a history that speaks most for another, the kind of what was done with it, and its share."""

    item_id: str
    kind: str
    share: float


class _Speaking:
    """What speaks for each of some items; rows are items, columns are what the history holds."""

    def __init__(self, scored: Scored, parts: Contributions) -> None:
        self._item_ids = scored.recommending.model.item_ids
        self._past = scored.past
        self._is_similar = scored.popularity == 0
        self._history, self._popularity = parts.history.astype(np.float64), parts.popularity.astype(np.float64)
        self._mains = self._most() if parts.history.size else [None] * len(parts.history)

    def reason(self, row: int) -> ItemReason:
        """Return the main reason for an item."""
        main = self._mains[row]
        if main is None:
            return POPULAR
        item_id, kind, share = main
        if self._is_similar:
            return ItemReason(code="similar", text=f"similar to {item_id}", item_id=item_id, share=share)
        text = f"because you {_DID[kind].format(item_id)} ({share:.0%})"
        return ItemReason(code="because", text=text, item_id=item_id, share=share)

    def contributions(self, row: int) -> list[ItemContribution]:
        """Return what each item of the history adds to an item's score, those that add most first."""
        added: dict[str | None, float] = {}
        for position, value in zip(self._past.items.tolist(), self._history[row].tolist(), strict=True):
            item_id = self._item_ids[position]
            added[item_id] = added.get(item_id, 0.0) + value
        given = {item_id: value for item_id, value in added.items() if value} | {None: float(self._popularity[row])}
        ordered = sorted(given.items(), key=lambda each: abs(each[1]), reverse=True)
        return [ItemContribution(item_id=item_id, contribution=value) for item_id, value in ordered]

    def _most(self) -> list[_Main | None]:
        """Return for each row what of the history speaks most; None where popularity says more than all of it."""
        past, history = self._past, self._history
        # An item may stand in the history several times; it speaks with one voice.
        same = past.items[:, np.newaxis] == past.items
        by_item = history @ same
        best = by_item.argmax(axis=1)
        # In the words for what says most of it: "bought" rather than "viewed".
        record = np.where(same[best], history, -np.inf).argmax(axis=1)
        is_outspoken = history.sum(axis=1) > self._popularity
        for_it = np.maximum(history, 0).sum(axis=1) + np.maximum(self._popularity, 0)
        most = by_item.max(axis=1)
        shares = np.minimum(np.divide(most, for_it, out=np.zeros_like(most), where=for_it > 0), 1.0)
        rows = zip(
            past.items[best].tolist(),
            past.kinds[record].tolist(),
            shares.tolist(),
            (is_outspoken & (most > 0)).tolist(),
            strict=True,
        )
        return [_Main(self._item_ids[item], KINDS[kind], share) if is_it else None for item, kind, share, is_it in rows]
