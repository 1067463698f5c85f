"""Keeping states small: what no window reaches is dropped, and the oldest payments of a busy entity are folded.

A tile stands for several payments that followed one another; tiles are kept as an exponential histogram (Datar, Gionis,
Indyk and Motwani, "Maintaining Stream Statistics over Sliding Windows", 2002): none holds more than a 128th of the
payments that came after it. An entity's newest 2,048 payments are never folded, so whatever looks at fewer is exact.
Where a window's edge falls among tiles, its count is off by less than the payments of the one tile that the edge cuts:
less than a 128th of all payments since then. A window that needs payments one by one (a filter, distinct values, a
median) sees only those that are not folded.

What was folded has no identity left. So a payment that arrives later than the newest folded one happened, the
watermark, counts in its own vector and no more; and a label of a folded payment counts once for each time it is told.
"""

import struct
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from shared.features.marks import mark
from shared.features.state import (
    AMOUNT,
    CODES,
    EVENT,
    FIRST,
    LABEL_KIND,
    ORIGIN,
    RECORD_BYTES,
    SECOND,
    SUBJECT,
    TILE_KIND,
    TIME,
    UNKNOWN_TIME,
    WORDS,
    Records,
    records_of,
)

EXACT_PAYMENTS = 2_048
"""The newest payments of an entity, of which every window is exact."""
LATENESS = timedelta(days=1)
"""A payment may come so much later than the entity's newest, and still sees all of its own windows."""
TILE_SHARE = 1 / 128
"""Most that a tile may hold of the payments after it."""

_FOLDED_FROM_PAYMENTS = EXACT_PAYMENTS * 3 // 2
"""So many are folded at once that it is rarely done."""
_SLACK = 1.25
"""A state is rewritten when its first record is this much older than it needs to be, or this much can be dropped."""
_REWRITTEN_BYTES_MIN = 2_048
"""A smaller state is left as it is."""
_MICROSECOND = timedelta(microseconds=1)
_TIME = struct.Struct("<q")
_FROM_END = RECORD_BYTES - TIME * 8


class Keeper:
    """Rewrites the states of one kind of entity, whose longest window reaches back `horizon`."""

    def __init__(self, horizon: timedelta) -> None:
        self._kept_us = (horizon + LATENESS) // _MICROSECOND
        self._rewritten_us = int(self._kept_us * _SLACK)

    def rewritten(self, value: bytes, *, asked_us: int) -> bytes | None:
        """Return a smaller state that gives the same vectors within the stated bounds; None if not worth it yet.

        asked_us: nothing that a payment of this event time needs is dropped, should its batch be read again.
        """
        if len(value) < _REWRITTEN_BYTES_MIN or not self._may_shrink(value):
            return None
        records = records_of(value)
        is_payment = records[:, ORIGIN] < LABEL_KIND
        if not is_payment.any():
            return None
        # A label can be dated later than any payment yet; only payments tell how far time has come.
        reached_us = min(int(records[is_payment, TIME].max()), asked_us)
        is_kept = records[:, TIME] > reached_us - self._kept_us
        if is_kept.sum() * _SLACK > len(records) and (is_kept & is_payment).sum() <= _FOLDED_FROM_PAYMENTS:
            return None
        kept = records[is_kept & mark(records, np.array([len(records)], dtype=np.int64)).is_first]
        if (kept[:, ORIGIN] < LABEL_KIND).sum() > _FOLDED_FROM_PAYMENTS:
            kept = _folded(kept)
        return bytes(kept.tobytes()) if len(kept) * _SLACK <= len(records) else None

    def _may_shrink(self, value: bytes) -> bool:
        """Look at two records only: this is asked about every state that is read."""
        (first,), (last,) = _TIME.unpack_from(value, TIME * 8), _TIME.unpack_from(value, len(value) - _FROM_END)
        return len(value) > _FOLDED_FROM_PAYMENTS * RECORD_BYTES or last - first > self._rewritten_us


def _folded(records: Records) -> Records:
    """Return tiles, then the records that are not folded, in order of arrival."""
    is_tile, is_payment = records[:, ORIGIN] >= TILE_KIND, records[:, ORIGIN] < LABEL_KIND
    before = int(records[is_tile, TIME].max(initial=np.iinfo(np.int64).min))
    # Anything older than the last watermark may stand in a tile already.
    is_payment &= records[:, TIME] > before
    times = np.sort(records[is_payment, TIME])
    watermark = int(times[-EXACT_PAYMENTS - 1]) if len(times) > EXACT_PAYMENTS else before
    is_old = records[:, TIME] <= watermark
    frauds, is_folded_label = _labelled(records, is_payment & is_old, is_old & ~is_tile & ~is_payment)
    new = _single_tiles(records[is_payment & is_old], frauds)
    tiles = np.concatenate((records[is_tile], new[np.argsort(new[:, TIME], kind="stable")]))
    _tell_tiles(tiles, records[is_folded_label])
    left = records[~is_old & ~is_tile]
    return np.concatenate((_merged(tiles, newer=int((left[:, ORIGIN] < LABEL_KIND).sum())), left))


def _labelled(
    records: Records, is_folded: npt.NDArray[np.bool_], is_label: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return which folded payments were known to be fraud, and which labels speak of payments folded earlier."""
    labels = records[is_label & (records[:, ORIGIN] >= LABEL_KIND)]
    latest = {
        int(label[SUBJECT]): int(label[AMOUNT]) for label in labels[np.lexsort((labels[:, AMOUNT], labels[:, TIME]))]
    }
    subjects = records[is_folded, SUBJECT]
    frauds = np.array([latest.get(int(subject), 0) == 1 for subject in subjects], dtype=np.bool_)
    is_orphan = is_label & (records[:, ORIGIN] >= LABEL_KIND) & ~np.isin(records[:, SUBJECT], subjects)
    return frauds, is_orphan


def _single_tiles(payments: Records, frauds: npt.NDArray[np.bool_]) -> Records:
    tiles = np.zeros((len(payments), WORDS), dtype=np.int64)
    tiles[:, ORIGIN] = TILE_KIND + 1
    tiles[:, TIME] = tiles[:, EVENT] = payments[:, TIME]
    tiles[:, SUBJECT] = frauds
    tiles.view(np.float64)[:, AMOUNT] = payments[:, AMOUNT]
    tiles[:, FIRST] = tiles[:, SECOND] = payments[:, AMOUNT]
    return tiles


def _tell_tiles(tiles: Records, labels: Records) -> None:
    """Count labels of folded payments in the tiles that hold them."""
    for label in labels[(labels[:, AMOUNT] == 1) & (labels[:, CODES] != UNKNOWN_TIME)]:
        at = int(np.searchsorted(tiles[:, TIME], label[CODES]))
        if at < len(tiles):
            tiles[at, SUBJECT] += 1


def _merged(tiles: Records, newer: int) -> Records:
    """Return neighbouring tiles merged as far as TILE_SHARE allows; `newer` payments came after all of them."""
    kept: list[Records] = []
    for tile in tiles[::-1]:
        count = int(tile[ORIGIN] - TILE_KIND)
        if kept:
            last = int(kept[-1][ORIGIN] - TILE_KIND)
            if last + count <= (newer - last) * TILE_SHARE:
                kept[-1] = _merge(tile, kept[-1])
                newer += count
                continue
        kept.append(tile)
        newer += count
    return np.array(kept[::-1], dtype=np.int64).reshape(-1, WORDS)


def _merge(older: Records, newer: Records) -> Records:
    merged = newer.copy()
    count = older[ORIGIN] - TILE_KIND, newer[ORIGIN] - TILE_KIND
    floats, old, new = merged.view(np.float64), older.view(np.float64), newer.view(np.float64)
    merged[ORIGIN] = TILE_KIND + count[0] + count[1]
    merged[EVENT] = older[EVENT]
    merged[SUBJECT] += older[SUBJECT]
    floats[AMOUNT] = old[AMOUNT] + new[AMOUNT]
    # Chan, Golub and LeVeque, as in windows.
    distance = old[AMOUNT] / count[0] - new[AMOUNT] / count[1]
    floats[CODES] = old[CODES] + new[CODES] + distance**2 * count[0] * count[1] / (count[0] + count[1])
    merged[FIRST] = min(older[FIRST], newer[FIRST])
    merged[SECOND] = max(older[SECOND], newer[SECOND])
    return merged
