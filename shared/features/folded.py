"""What stands in tiles, added to what was gathered from payments, compiled (see tiles)."""

import numpy as np

from shared.features.kernel import kernel
from shared.features.marks import Marks
from shared.features.program import (
    COUNT,
    FRAUDS,
    MAX,
    MEAN,
    MIN,
    NEWEST,
    NEWEST_FRAUD,
    OLDEST,
    SQUARES,
    SUM,
    TILED,
    Floats,
    Integers,
    Slot,
)
from shared.features.state import (
    AMOUNT,
    CODES,
    EVENT,
    FIRST,
    ORIGIN,
    SECOND,
    SUBJECT,
    TILE_KIND,
    TIME,
    UNKNOWN_TIME,
    Records,
)

# numba knows plain integers only.
_LENGTH_US, _DELAY_US = int(Slot.LENGTH_US), int(Slot.DELAY_US)
_DISTINCT_TABLE, _IS_NARROWED = int(Slot.DISTINCT_TABLE), int(Slot.IS_NARROWED)


@kernel
def _add_tile(tile: Integers, end_us: int, slot: Integers, gathered: Floats) -> None:
    """Add what of a tile lies in the window, as if its payments were spread evenly between its first and last.

    A window that needs the payments one by one (a filter, distinct values) sees none of them; nor does a median, nor a
    streak of frauds.
    """
    if slot[_IS_NARROWED] or slot[_DISTINCT_TABLE] >= 0:
        return
    newest, oldest = tile[TIME], tile[EVENT]
    inside_from, inside_to = max(oldest, end_us - slot[_LENGTH_US] + 1), min(newest, end_us)
    if inside_from > inside_to:
        return
    share = 1.0 if newest == oldest else (inside_to - inside_from) / (newest - oldest)
    floats = tile.view(np.float64)
    count = share * (tile[ORIGIN] - TILE_KIND)
    if count == 0.0:
        return
    gathered[MIN] = min(gathered[MIN], float(tile[FIRST]))
    gathered[MAX] = max(gathered[MAX], float(tile[SECOND]))
    gathered[NEWEST] = max(gathered[NEWEST], float(inside_to))
    gathered[OLDEST] = min(gathered[OLDEST], float(inside_from))
    frauds = share * tile[SUBJECT]
    gathered[FRAUDS] += frauds
    if frauds > 0.0:
        gathered[NEWEST_FRAUD] = max(gathered[NEWEST_FRAUD], float(inside_to))
    # Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances", 1979.
    total = gathered[COUNT] + count
    distance = floats[AMOUNT] / (tile[ORIGIN] - TILE_KIND) - gathered[MEAN]
    gathered[SQUARES] += share * floats[CODES] + distance * distance * gathered[COUNT] * count / total
    gathered[MEAN] += distance * count / total
    gathered[SUM] += share * floats[AMOUNT]
    gathered[COUNT] = total
    gathered[TILED] += count


@kernel
def _add_late_label(label: Integers, end_us: int, slot: Integers, gathered: Floats) -> None:
    """Add a fraud that became known after its payment was folded into a tile."""
    happened = label[CODES]
    if label[AMOUNT] and not slot[_IS_NARROWED] and end_us - slot[_LENGTH_US] < happened <= end_us:
        gathered[FRAUDS] += 1.0
        gathered[NEWEST_FRAUD] = max(gathered[NEWEST_FRAUD], float(happened))


@kernel
def add_folded(  # noqa: PLR0913, PLR0917 - flat arrays are what compiles well
    records: Records, marks: Marks, begin: int, own: int, watermark_us: int, slots: Integers, gathered: Floats
) -> None:
    """Add what stands in tiles, and the labels that came after."""
    time_us = records[own, TIME]
    for i in range(begin, own + 1):
        is_tile = records[i, ORIGIN] >= TILE_KIND
        is_label = marks.is_orphan[i] and records[i, TIME] <= time_us
        is_label = is_label and UNKNOWN_TIME < records[i, CODES] <= watermark_us
        for s in range(slots.shape[0] if is_tile or is_label else 0):
            end_us = time_us - slots[s, _DELAY_US]
            if is_tile:
                _add_tile(records[i], end_us, slots[s], gathered[s])
            else:
                _add_late_label(records[i], end_us, slots[s], gathered[s])
