"""Recommendations for every shopper of the archive, a part of the shoppers at a time, so that memory stays bounded.

They are what the champion would answer now, of what can be had, without what the shopper touched before; the policy's
rules, boosts and exploration belong to the single request and are left out.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from math import ceil
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from services.training.archive import Archive
from shared.contracts.topics import INTERACTIONS, ITEMS, USERS
from shared.features.state import identity
from shared.models.recommender import RecommenderModel, Top
from shared.recommendation.history import KINDS, RECORD, item_weights

SCHEMA = pl.Schema(
    {
        "user_id": pl.String(),
        "rank": pl.Int32(),
        "item_id": pl.String(),
        "score": pl.Float32(),
        "reason_item_id": pl.String(),
        "reason_share": pl.Float32(),
        "model_version": pl.Int32(),
    }
)
"""reason_item_id: the item of the history that adds most to the score, reason_share: which share of it; null where
popularity adds more."""
INTERACTIONS_AT_ONCE = 2_000_000

_SHOPPERS_AT_ONCE = 5_000
_ARRIVAL = ["produced_ms", "partition", "offset"]


class Part(NamedTuple):
    """Some shoppers' recommendations, with SCHEMA. fraction: of the shoppers, how many are done with this part."""

    rows: pl.DataFrame
    shoppers: int
    fraction: float


class _History(NamedTuple):
    """What a model reads of one shopper, the latest first, and every item that the shopper touched."""

    items: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]
    touched: npt.NDArray[np.int64]


def recommended(
    archive: Archive,
    model: RecommenderModel,
    *,
    n: int,
    now: datetime,
    users: Sequence[str] | None = None,
    interactions_at_once: int = INTERACTIONS_AT_ONCE,
) -> Iterator[Part]:
    """Yield the `n` best items of each shopper that the archive knows, or of `users`; fewer where there are no more.

    Shoppers without a history are shown what is popular in their segment; deleted ones are left out.
    interactions_at_once: about how many are in memory. Raises RefusedError where the archive cannot be read.
    """
    available = _available(archive, model, now)
    parts = max(1, ceil(archive.row_count(INTERACTIONS) / interactions_at_once))
    for number in range(parts):
        in_part = pl.col("user_id").hash() % parts == number
        if users is not None:
            in_part &= pl.col("user_id").is_in(users)
        asked = None if users is None else pl.DataFrame({"user_id": users}, schema={"user_id": pl.String()})
        shoppers = list(_part(archive, model, in_part, None if asked is None else asked.filter(in_part), now).items())
        for begin in range(0, len(shoppers), _SHOPPERS_AT_ONCE):
            some = shoppers[begin : begin + _SHOPPERS_AT_ONCE]
            done = (begin + len(some)) / len(shoppers)
            yield Part(_rows(model, some, available, n), len(some), (number + done) / parts)


def _part(
    archive: Archive, model: RecommenderModel, in_part: pl.Expr, asked: pl.DataFrame | None, now: datetime
) -> dict[str, tuple[int, _History]]:
    """Return the segment and the history of each shopper of a part, in order of their ids."""
    newest = archive.rows(USERS, ["user_id", "attributes", "is_deleted", "produced_ms"], only=in_part)
    users = newest.sort(_ARRIVAL).unique("user_id", keep="last")
    touches = archive.rows(INTERACTIONS, ["event_id", "occurred_at", "user_id", "item_id", "kind"], only=in_part)
    once = touches.unique("event_id").sort("user_id", "occurred_at", "event_id", descending=[False, True, True])
    histories = _histories(model, once, now)
    deleted = set(users.filter("is_deleted")["user_id"])
    names = [users["user_id"], once["user_id"]] + ([] if asked is None else [asked["user_id"]])
    segments = dict(zip(users["user_id"], _segments(model, users["attributes"]), strict=True))
    nothing = _History(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.int64))
    return {
        user_id: (segments.get(user_id, 0), histories.get(user_id, nothing))
        for user_id in pl.concat(names).unique().sort()
        if user_id not in deleted
    }


def _histories(model: RecommenderModel, touches: pl.DataFrame, now: datetime) -> dict[str, _History]:
    """Return each shopper's history; touches: by user_id, the latest first."""
    records = np.zeros(len(touches), dtype=RECORD)
    items = touches["item_id"].unique()
    hashes = dict(zip(items, map(identity, items), strict=True))
    records["time"] = touches["occurred_at"].dt.epoch("us").to_numpy()
    records["item"] = np.fromiter((hashes[item] for item in touches["item_id"]), dtype=np.int64, count=len(touches))
    records["kind"] = touches["kind"].cast(pl.Enum(KINDS)).to_physical().to_numpy()
    weights = item_weights(records, model.kind_weights, now=now, half_life_seconds=model.half_life_seconds)
    positions = model.positions_of(np.ascontiguousarray(records["item"]))
    users = touches["user_id"].rle()
    found, begin = {}, 0
    for user_id, length in zip(users.struct.field("value"), users.struct.field("len"), strict=True):
        own, weight = positions[begin : begin + length], weights[begin : begin + length]
        counts = (own >= 0) & (weight > 0)
        kept = model.history_max
        found[user_id] = _History(own[counts][:kept], weight[counts][:kept], own[own >= 0])
        begin += length
    return found


def _rows(
    model: RecommenderModel,
    shoppers: Sequence[tuple[str, tuple[int, _History]]],
    available: npt.NDArray[np.bool_],
    n: int,
) -> pl.DataFrame:
    items, scores = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.float32)]
    reasons: list[int | None] = []
    shares: list[float | None] = []
    for _, (segment, history) in shoppers:
        mask = available.copy()
        mask[history.touched] = False
        top = model.recommend(history.items, history.weights, mask, k=n, segment=segment)
        items.append(top.items)
        scores.append(top.scores)
        because, share = _reasons(model, history, top, segment)
        reasons += because
        shares += share
    counts = [len(shown) for shown in items[1:]]
    item_ids = pl.Series(model.item_ids, dtype=pl.String())
    columns = {
        "user_id": pl.Series([user_id for user_id, _ in shoppers], dtype=pl.String()).gather(
            np.repeat(np.arange(len(shoppers)), counts)
        ),
        "rank": np.concatenate([np.arange(0), *(np.arange(1, count + 1) for count in counts)]),
        "item_id": item_ids.gather(np.concatenate(items)),
        "score": np.concatenate(scores),
        "reason_item_id": item_ids.gather(pl.Series(reasons, dtype=pl.Int64())),
        "reason_share": shares,
        "model_version": np.full(sum(counts), model.manifest.model_version),
    }
    return pl.DataFrame(columns, schema=SCHEMA)


def _reasons(
    model: RecommenderModel,
    history: _History,
    top: Top,
    segment: int,
) -> tuple[list[int | None], list[float | None]]:
    """Return the item of the history that adds most to each score, and its share; None: popularity adds more."""
    targets = top.items
    if not len(history.items) or not len(targets):
        return [None] * len(targets), [None] * len(targets)
    added = model.contributions(history.items, history.weights, targets, segment=segment)
    distinct, places = np.unique(history.items, return_inverse=True)
    by_item = np.zeros((len(distinct), len(targets)))
    np.add.at(by_item, places, added.history.T)
    best, most = by_item.argmax(axis=0), by_item.max(axis=0)
    told = (most > 0) & (most >= added.popularity)
    reasons = [int(distinct[at]) if tell else None for at, tell in zip(best, told, strict=True)]
    shares = [
        float(share) / float(score) if tell else None for share, score, tell in zip(most, top.scores, told, strict=True)
    ]
    return reasons, shares


def _available(archive: Archive, model: RecommenderModel, now: datetime) -> npt.NDArray[np.bool_]:
    """Return which of the model's items can be had now, shape (items,); those that no catalogue knows can."""
    columns = ["item_id", "is_available", "available_from", "expires_at", "is_deleted", "produced_ms"]
    newest = archive.rows(ITEMS, columns).sort(_ARRIVAL).unique("item_id", keep="last")
    cannot = newest.filter(
        ~pl.col("is_available")
        | pl.col("is_deleted")
        | (pl.col("available_from") > now).fill_null(value=False)
        | (pl.col("expires_at") <= now).fill_null(value=False)
    )
    available = np.ones(len(model.item_ids), dtype=np.bool_)
    gone = [position for item_id in cannot["item_id"] if (position := model.position(item_id)) is not None]
    available[gone] = False
    return available


def _segments(model: RecommenderModel, attributes: pl.Series) -> list[int]:
    """Return which segment of the model each user is in; 0 is everyone."""
    if model.segment_attribute is None:
        return [0] * len(attributes)
    places = {segment: at for at, segment in enumerate(model.segments, start=1)}
    decoded = (msgspec.json.decode(row, type=dict[str, float | str]) for row in attributes)
    return [places.get(str(row.get(model.segment_attribute)), 0) for row in decoded]
