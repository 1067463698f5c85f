"""Interactions and impressions, with every field a test does not care about filled in."""

import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from services.scoring.recommendations.contexts import FEATURES
from shared.contracts.ids import derived_event_id
from shared.contracts.shopping import Exploration, Impression, Interaction, ShownItem
from tests.events import START, TRACE_ID

_NUMBERS = itertools.count()


def interaction(user_id: str, item_id: str, kind: str = "view", *, at: datetime = START, **fields: Any) -> Interaction:
    return Interaction(
        event_id=derived_event_id(at, "interactions", str(next(_NUMBERS))),
        occurred_at=at,
        trace_id=TRACE_ID,
        user_id=user_id,
        item_id=item_id,
        kind=kind,  # type: ignore[arg-type]
        **fields,
    )


def click(of: Impression, *, after: timedelta = timedelta(seconds=5), item_id: str | None = None) -> Interaction:
    shown = of.items[0].item_id if item_id is None else item_id
    return interaction(of.user_id, shown, at=of.occurred_at + after, recommendation_id=of.recommendation_id)


def impression(
    recommendation_id: str,
    pool: Sequence[str] = ("a", "b"),
    *,
    contexts: Sequence[Sequence[float]] | None = None,
    chosen: int = 0,
    at: datetime = START,
    user_id: str = "u1",
) -> Impression:
    """Return a list of one item, that of the explored place; without `contexts` only the constant counts."""
    rows = [[1.0] + [0.0] * (len(FEATURES) - 1) for _ in pool] if contexts is None else [list(row) for row in contexts]
    shares = [1 / len(pool)] * len(pool)
    return Impression(
        event_id=derived_event_id(at, "impressions", recommendation_id),
        occurred_at=at,
        trace_id=TRACE_ID,
        recommendation_id=recommendation_id,
        user_id=user_id,
        items=[ShownItem(item_id=pool[chosen], score=0.0, propensity=shares[chosen])],
        model_name="recommendation",
        model_version=1,
        exploration=Exploration(
            place=0,
            pool=list(pool),
            scores=[0.0] * len(pool),
            contexts=rows,
            propensities=shares,
            chosen=chosen,
        ),
    )
