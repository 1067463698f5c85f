"""The archive's explored places: what the bandit could have shown, with which odds, and whether it was clicked."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl

from services.training.archive import Archive
from services.training.recommendation.experiment_results import CLICKS
from services.training.recommendation.explored import Explored
from shared.contracts.topics import IMPRESSIONS, INTERACTIONS

PLACES_MAX = 20_000
"""The newest so many are judged by: two recommenders fill each."""

_SHOWN = ["event_id", "occurred_at", "recommendation_id", "user_id", "recent", "place"]
_POOL = ["pool", "pool_contexts", "pool_propensities", "chosen"]
_CLICK = ["recommendation_id", "item_id"]


def explored_places(archive: Archive, *, since: datetime, without: Iterable[str] = ()) -> list[Explored]:
    """Return the explored places from `since` on, oldest first; of too many the newest.

    without: ids of users who are not trusted to click for themselves. Raises RefusedError.
    """
    filled = pl.col("place").is_not_null() & (pl.col("occurred_at") >= since)
    trusted = ~pl.col("user_id").is_in(list(without))
    shown = archive.rows(IMPRESSIONS, [*_SHOWN, *_POOL], since=since.date(), only=filled & trusted)
    newest = shown.unique("event_id").sort("occurred_at", "event_id").tail(PLACES_MAX)
    carries = pl.col("recommendation_id").is_not_null() & pl.col("kind").is_in(CLICKS)
    clicks = archive.rows(INTERACTIONS, [*_CLICK, "kind"], since=since.date(), only=carries).select(_CLICK).unique()
    told = newest.with_columns(item_id=pl.col("pool").list.get(pl.col("chosen"))).join(
        clicks.with_columns(clicked=pl.lit(value=True)), on=_CLICK, how="left", maintain_order="left"
    )
    return [_explored(row) for row in told.iter_rows(named=True)]


def _explored(row: dict[str, Any]) -> Explored:
    return Explored(
        user_id=row["user_id"],
        recent=tuple(row["recent"]),
        pool=tuple(row["pool"]),
        contexts=np.array(row["pool_contexts"], dtype=np.float64),
        propensities=np.array(row["pool_propensities"], dtype=np.float64),
        chosen=row["chosen"],
        clicked=row["clicked"] is not None,
    )
