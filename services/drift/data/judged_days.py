"""Days of a model's payments, each judged by how far it is from the reference days that are most like it."""

from collections import deque
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.drift.data.day_counts import Block
from services.drift.data.days import begin_of
from services.drift.data.distances import population_stability_index
from services.drift.data.neighbours import Neighbours
from services.drift.data.noise import Noise

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

REFERENCE_DAYS_MIN = 14
"""Two of each weekday; until there are as many, the days that come are reference days."""
REFERENCE_BLOCKS_MIN = 5
RECENT_BLOCKS = 7

_WEEK_DAYS = 7
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Judged(NamedTuple):
    """A block beside its reference. matched: shape (1 + segments, quantities, bins), shares."""

    block: Block
    matched: Counts


class JudgedDays:
    """What is usual, and the latest days.

    recent: the last RECENT_BLOCKS that were judged, oldest first.
    """

    def __init__(self, counts: Integers, days: Integers, *, payments_min: int) -> None:
        """Learn from reference days.

        counts: shape (days, 1 + segments, quantities, bins); there may be none. days: shape (days,), ascending, in days
        since 1970. payments_min: a day with fewer is joined with the days after it.
        """
        self.recent: deque[Judged] = deque(maxlen=RECENT_BLOCKS)
        self.reference_days = len(days)
        self._shape = counts.shape[1:]
        self._reference = _joined(counts, days, payments_min)
        self._neighbours: Neighbours | None = None
        self._noise = Noise(np.zeros(0))
        self._usual = np.zeros(self._shape)
        self._learn()

    @property
    def learning(self) -> bool:
        """Whether reference days are still being gathered."""
        return self._neighbours is None

    def judge(self, block: Block) -> Floats | None:
        """Return how likely a block as far from its reference is, shape ((1 + segments) · quantities,); NaN: unknown.

        None where the block became a part of the reference.
        """
        if self._neighbours is None:
            self._reference.append((block.first, block.counts))
            self.reference_days += block.days
            self._learn()
            return None
        compared = self._neighbours.compare(block.counts)
        log_distance = compared.log_distance.ravel()
        p = self._noise.p_of(log_distance)
        self._noise.learn(log_distance)
        self.recent.append(Judged(block, compared.matched))
        return p

    def moved(self, since: Floats) -> Floats:
        """Return the population stability index of the recent days that begin at or after `since`; 0 where none does.

        Of the days beside the reference days that match each; and once they are a week, of that beside all reference
        days, if it is more: by then, a Tuesday that is like a Sunday shows.

        since: shape ((1 + segments) · quantities,), in seconds since 1970, NaN for never. Returns the same shape.
        """
        now, was = np.zeros(self._shape), np.zeros(self._shape)
        days = np.zeros(self._shape[:-1])
        for judged in self.recent:
            inside = (begin_of(judged.block.first).timestamp() >= since).reshape(self._shape[:-1])
            payments = judged.block.counts.sum(axis=-1, keepdims=True)
            now += inside[..., None] * judged.block.counts
            was += inside[..., None] * payments * judged.matched
            days += inside * judged.block.days
        shares = _shares(now)
        index = population_stability_index(_shares(was), shares)
        of_week = population_stability_index(self._usual, shares)
        index = np.where(days >= _WEEK_DAYS, np.maximum(index, of_week), index)
        return np.where(now.sum(axis=-1) > 0, index, 0.0).ravel()

    def together(self, since: datetime | None = None) -> tuple[Floats, Floats]:
        """Return the counts of the recent days: what their reference days lead to expect, and what they are.

        Shape (1 + segments, quantities, bins) each. since: only of the days that begin then or later.
        """
        was, now = np.zeros(self._shape), np.zeros(self._shape)
        for judged in self.recent:
            if since is None or begin_of(judged.block.first) >= since:
                was += judged.block.counts.sum(axis=-1, keepdims=True) * judged.matched
                now += judged.block.counts
        return was, now

    @property
    def newest(self) -> datetime:
        """Event time of the newest payment that was judged."""
        return _EPOCH + timedelta(microseconds=max(judged.block.newest_us for judged in self.recent))

    def _learn(self) -> None:
        if self.reference_days < REFERENCE_DAYS_MIN or len(self._reference) < REFERENCE_BLOCKS_MIN:
            return
        ordered = sorted(self._reference, key=lambda reference: reference[0])
        counts = np.array([counts for _, counts in ordered])
        days = np.array([day for day, _ in ordered])
        self._neighbours = Neighbours(counts, days)
        self._noise = Noise(self._neighbours.scale_min.ravel())
        for log_distance in self._neighbours.usual():
            self._noise.learn(log_distance.ravel())
        self._usual = _shares(counts.sum(axis=0))
        self._reference.clear()


def _joined(counts: Integers, days: Integers, payments_min: int) -> list[tuple[int, Integers]]:
    """Return the blocks that reference days make: the first day of each and its counts."""
    blocks: list[tuple[int, Integers]] = []
    for day, own in zip(days.tolist(), counts, strict=True):
        if blocks and blocks[-1][1][0, 0].sum() < payments_min:
            blocks[-1] = (blocks[-1][0], blocks[-1][1] + own)
        else:
            blocks.append((day, own))
    return blocks if not blocks or blocks[-1][1][0, 0].sum() >= payments_min else blocks[:-1]


def _shares(counts: Floats) -> Floats:
    shares: Floats = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
    return shares
