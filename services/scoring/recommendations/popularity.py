"""How much shoppers did with each item lately: counts that fade, over whole days.

Every day keeps a count an item in which an interaction counts more the later it came that day, so that adding is a
single step and the order does not matter (forward decay; Cormode, Shkapenyuk, Srivastava, Xu, 2009). The days are put
together when asked. A day leaves as a whole: who began to read in time has the same counts as who always did.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from shared.features.state import microseconds

Counts = npt.NDArray[np.float64]
"""Shape (items,)."""

KIND_WEIGHTS: Mapping[str, float] = {"view": 1.0, "cart": 3.0, "like": 3.0, "purchase": 6.0}
"""What an interaction counts; a dislike makes nothing popular."""
POPULAR_HALF_LIFE = timedelta(days=3)

DAY_MICROSECONDS = 86_400 * 10**6


def day_of(time: datetime) -> int:
    """Return the UTC day, counted from 1970."""
    return microseconds(time) // DAY_MICROSECONDS


class FadingCounts:
    """Counts of items, known by their positions from 0; those of `days_kept` days before the latest are kept."""

    def __init__(self, half_life: timedelta, *, days_kept: int) -> None:
        self._half_life_us = half_life / timedelta(microseconds=1)
        self._days_kept = days_kept
        self._days: dict[int, Counts] = {}

    def add(self, positions: npt.NDArray[np.int64], times_us: npt.NDArray[np.int64], weights: Counts) -> None:
        """Count interactions; all three of shape (interactions,), times in microseconds since 1970."""
        days = times_us // DAY_MICROSECONDS
        grown = weights * np.exp2((times_us - days * DAY_MICROSECONDS) / self._half_life_us)
        for day in np.unique(days).tolist():
            of_day = days == day
            counts = _longer(self._days.get(day, np.zeros(0)), int(positions[of_day].max()) + 1)
            np.add.at(counts, positions[of_day], grown[of_day])
            self._days[day] = counts

    def at(self, now: datetime, *, items: int) -> Counts:
        """Return what each item's interactions count by now, each half after a half-life; shape (items,)."""
        now_us = microseconds(now)
        for day in [day for day in self._days if day < now_us // DAY_MICROSECONDS - self._days_kept]:
            del self._days[day]
        total = np.zeros(items)
        for day, counts in sorted(self._days.items()):
            total[: len(counts)] += counts * np.exp2((day * DAY_MICROSECONDS - now_us) / self._half_life_us)
        return total

    def keep(self, positions: npt.NDArray[np.int64]) -> None:
        """Forget all items but these, each known by its place among them from now on."""
        items = int(positions.max(initial=-1)) + 1
        self._days = {day: _longer(counts, items)[positions] for day, counts in self._days.items()}


class Ranking:
    """Items and their scores, the best first; made once, then read by any thread."""

    def __init__(self, item_ids: Sequence[str], scores: Counts) -> None:
        """Rank the items whose score is above 0; of equal scores in the order given.

        item_ids: of `scores`, and perhaps more behind them; kept, so what is there must not change.
        """
        ranked = np.flatnonzero(scores > 0)
        self._item_ids = item_ids
        self._order = ranked[np.argsort(-scores[ranked], kind="stable")]
        self._scores = scores[self._order]

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        for at, score in zip(self._order, self._scores, strict=True):
            yield self._item_ids[at], float(score)


def _longer(counts: Counts, length: int) -> Counts:
    return np.pad(counts, (0, max(0, length - len(counts))))
