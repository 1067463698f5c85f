"""When a champion is looked at: after so many matured frauds, and which payments then fit a line and which prove it.

When a look comes depends on the payments alone, not on when somebody asks: whoever asks twice gets the same answer, so
no state is kept, and a process that is restarted cannot look once more than the error rate allows for.
"""

from typing import NamedTuple

import numpy as np

from services.training.evaluation.scored import Scored
from services.training.refusal import RefusedError


class Window(NamedTuple):
    """Payments of one stretch of time in two parts, with half of its frauds each: fit comes before proof."""

    fit: Scored
    proof: Scored


class Look(NamedTuple):
    """number: how many looks there have been at this champion, this one included. windows: the widest last."""

    number: int
    windows: list[Window]


def latest_look(scored: Scored, *, frauds_min: int, days_min: float) -> Look:
    """Return the latest look at a champion.

    scored: all its matured payments, whole days, in order of time. A look falls at the end of a day, `frauds_min`
    frauds and `days_min` days or more after the one before. Its windows hold what has come since the look before, twice
    as many stretches between looks, four times as many and so on, and everything: a short window sees a new fraud rate
    soon, a long one a small error surely.

    Raises:
        RefusedError: too_few_frauds for a first look.
    """
    ends = _look_ends(scored, frauds_min, days_min)
    if not ends:
        raise RefusedError(
            "too_few_frauds",
            f"{int(scored.frauds.sum())} frauds have matured among the {len(scored.frauds)} payments that the champion "
            f"scored; it is looked at after {frauds_min} of them and {days_min:g} days: wait for more labels",
        )
    count = len(ends)
    sizes = [*(size for size in (2**power for power in range(count.bit_length())) if size < count), count]
    begins = [0, *ends]
    return Look(count, [_window(scored, begins[count - size], ends[-1]) for size in sizes])


def _look_ends(scored: Scored, frauds_min: int, days_min: float) -> list[int]:
    """Return how many payments there were at each look."""
    if not len(scored.frauds):
        return []
    ends = np.searchsorted(scored.days, np.arange(scored.days[0], scored.days[-1] + 1), side="right")
    frauds = np.diff(np.cumsum(scored.frauds, dtype=np.int64)[ends - 1], prepend=0)
    found: list[int] = []
    frauds_since = days_since = 0
    for end, frauds_of_day in zip(ends.tolist(), frauds.tolist(), strict=True):
        frauds_since, days_since = frauds_since + frauds_of_day, days_since + 1
        if frauds_since >= frauds_min and days_since >= days_min:
            found.append(end)
            frauds_since = days_since = 0
    return found


def _window(scored: Scored, begin: int, end: int) -> Window:
    places = np.arange(len(scored.frauds))
    frauds = begin + np.flatnonzero(scored.frauds[begin:end])
    middle = frauds[(len(frauds) - 1) // 2] + 1
    return Window(scored.part((places >= begin) & (places < middle)), scored.part((places >= middle) & (places < end)))
