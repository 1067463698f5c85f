"""A shopper's history as bytes: a set of 32-byte records that only grows.

An interaction is one record. Appends commute, and a record that stands twice counts once, so replays, crashes and
concurrent writers change nothing. Items are known by the hash of their id: models and the catalogue know the ids.

    bytes   field
    0-7     event time, microseconds since 1970
    8-15    hash of item_id
    16-23   hash of event_id
    24      kind, its place in KINDS
    25-27   zero
    28-31   quantity

What grows beyond RECORDS_MAX is folded: the newest records stay, and the newest purchase and dislike of each item, so
that nobody is shown it again; the rest is forgotten.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import get_args, get_type_hints

import numpy as np
import numpy.typing as npt

from shared.contracts.shopping import Interaction
from shared.features.state import identity, microseconds

KINDS: tuple[str, ...] = get_args(get_type_hints(Interaction)["kind"])
"""Kinds of interaction, in the order of their codes."""

RECORD = np.dtype(
    [("time", "<i8"), ("item", "<i8"), ("event", "<i8"), ("kind", "u1"), ("zero", "u1", 3), ("quantity", "<u4")]
)
RECORD_BYTES = RECORD.itemsize

RECORDS_MAX = 1_024
"""A history of more records is folded."""
NEWEST_KEPT = 256
"""Records of any kind that folding keeps."""
KEPT_ITEMS_MAX = 512
"""Records of items bought, or disliked, that folding keeps beside them: the newest."""

Records = npt.NDArray[np.void]
"""Shape (records,), of dtype RECORD."""

_KEPT_KINDS = tuple(KINDS.index(kind) for kind in ("purchase", "dislike"))


def history_key(user_id: str) -> str:
    """Return the store's key of a shopper's history; on a cluster it stands beside `profile_key`."""
    return f"history:{{{_tag(user_id)}}}"


def profile_key(user_id: str) -> str:
    """Return the store's key of what is known of a shopper: a `User`, as on the topic."""
    return f"profile:{{{_tag(user_id)}}}"


def distrust_key(user_id: str) -> str:
    """Return the store's key of how far a shopper is distrusted: the fraud score of a declined payment, as text."""
    return f"distrust:{{{_tag(user_id)}}}"


def packed(interaction: Interaction) -> bytes:
    """Return an interaction's record."""
    return _record(
        interaction.occurred_at,
        interaction.item_id,
        identity(interaction.event_id),
        KINDS.index(interaction.kind),
        interaction.quantity,
    )


def history_of(value: bytes) -> Records:
    """Return the interactions in the bytes of a history, each once, the latest first; of equal times in a fixed order.

    Raises:
        ValueError: not whole records.
    """
    records = np.frombuffer(value, dtype=RECORD)
    if len(records) == 0:
        return records
    order = np.lexsort((records["event"], records["time"]))[::-1]
    ordered = records[order]
    is_first = np.ones(len(ordered), dtype=np.bool_)
    is_first[1:] = (ordered["event"][1:] != ordered["event"][:-1]) | (ordered["time"][1:] != ordered["time"][:-1])
    return ordered[is_first]


def folded(records: Records) -> bytes:
    """Return the bytes that stand for a history from now on; what they stand for depends on the set alone.

    records: as from `history_of`.
    """
    if len(records) <= NEWEST_KEPT:
        return records.tobytes()
    older = records[NEWEST_KEPT:]
    kept = older[np.isin(older["kind"], _KEPT_KINDS)]
    _, first = np.unique(kept[["item", "kind"]], return_index=True)
    return np.concatenate([records[:NEWEST_KEPT], kept[np.sort(first)[:KEPT_ITEMS_MAX]]]).tobytes()


def item_weights(
    records: Records, kind_weights: Mapping[str, float], *, now: datetime, half_life_seconds: float | None
) -> npt.NDArray[np.float32]:
    """Return what each record counts for a model: the weight of its kind, halved with each half-life that passed.

    Records dated after `now` count as of now. Returns shape (records,); 0 for a kind without a weight.
    """
    of_kind = np.array([kind_weights.get(kind, 0.0) for kind in KINDS], dtype=np.float64)
    weights = of_kind[records["kind"]]
    if half_life_seconds is not None:
        age_seconds = np.maximum(microseconds(now) - records["time"], 0) / 1e6
        weights = weights * np.exp2(-age_seconds / half_life_seconds)
    return np.asarray(weights, dtype=np.float32)


def _tag(user_id: str) -> str:
    return f"{identity(user_id) & (2**64 - 1):016x}"


def _record(at: datetime, item_id: str, event: int, kind: int, quantity: int) -> bytes:
    record = np.zeros(1, dtype=RECORD)
    record["time"], record["item"], record["event"] = microseconds(at), identity(item_id), event
    record["kind"], record["quantity"] = kind, quantity
    return record.tobytes()
