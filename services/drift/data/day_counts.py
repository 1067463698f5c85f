"""Payments counted by day, segment, quantity and bin: nothing else is kept of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.drift.data.days import Calendar, days_of
from shared.models.manifest import Reference

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Quantity:
    """What is counted. low, high: the smallest and largest value in training. codes: the categories it met, if any."""

    name: str
    reference: Reference
    low: float
    high: float
    codes: tuple[int, ...]


@dataclass
class Block:
    """A day; or several, where one day has too few payments to judge.

    first, last: in days since 1970. days: how many had payments. newest_us: the newest event time.
    counts: shape (1 + segments, quantities, bins), of which place 0 is everything.
    missing, unseen, outside: shape (quantities,): values that are no numbers, categories that training never met,
    values below its smallest or above its largest.
    """

    first: int
    last: int
    days: int
    payments: int
    newest_us: int
    counts: Integers
    missing: Integers
    unseen: Integers
    outside: Integers

    def join(self, later: "Block") -> None:
        """Take in more of the day, or a later block."""
        self.days += later.days if later.last > self.last else 0
        self.last = max(self.last, later.last)
        self.payments += later.payments
        self.newest_us = max(self.newest_us, later.newest_us)
        self.counts += later.counts
        self.missing += later.missing
        self.unseen += later.unseen
        self.outside += later.outside


class DayCounts:
    """Counts of the open days.

    The first day that is over is left out: counting may have begun at noon, and half a day is unlike any whole one.
    """

    def __init__(self, quantities: Sequence[Quantity], *, segments: int, payments_min: int) -> None:
        """Start with no day; payments_min: a day with fewer is joined with the days after it."""
        self.calendar = Calendar()
        self._quantities = tuple(quantities)
        self._bins = max(len(quantity.reference.fractions) for quantity in quantities)
        self._places = 1 + segments
        self._payments_min = payments_min
        self._low = np.array([quantity.low for quantity in quantities])
        self._high = np.array([quantity.high for quantity in quantities])
        self._open: dict[int, Block] = {}
        self._short: Block | None = None
        self._is_begun = False

    def add(self, values: Floats, places: Integers, times_us: Integers) -> list[Block]:
        """Count payments; return the blocks that are whole now, in order.

        values: shape (n, quantities). places: shape (n, segment features), as Segments.of. times_us: shape (n,).
        """
        whole: list[Block] = []
        for run in self.calendar.take(days_of(times_us)):
            for day in run.dropped:
                del self._open[day]
            whole += [block for day in run.closed if (block := self._close(day)) is not None]
            counted = self._counted(
                run.day, values[run.first : run.last], places[run.first : run.last], times_us[run.first : run.last]
            )
            if run.day in self._open:
                self._open[run.day].join(counted)
            else:
                self._open[run.day] = counted
        return whole

    def _close(self, day: int) -> Block | None:
        block = self._open.pop(day)
        if not self._is_begun:
            self._is_begun = True
            return None
        if self._short is not None:
            self._short.join(block)
            block = self._short
        self._short = block if block.payments < self._payments_min else None
        return None if self._short else block

    def _counted(self, day: int, values: Floats, places: Integers, times_us: Integers) -> Block:
        columns = np.ascontiguousarray(values.T, dtype=np.float64)
        size = len(self._quantities) * self._bins
        cells = np.empty(columns.shape, dtype=np.int64)
        unseen = np.zeros(len(columns), dtype=np.int64)
        for at, quantity in enumerate(self._quantities):
            cells[at] = at * self._bins + quantity.reference.bins_of(columns[at])
            if quantity.codes:
                unseen[at] = (~np.isin(columns[at], quantity.codes)).sum()
        counts = np.bincount(cells.ravel(), minlength=self._places * size)
        for own in places.T:
            inside = own > 0
            counts += np.bincount((cells + own * size)[:, inside].ravel(), minlength=self._places * size)
        outside = (columns < self._low[:, None]) | (columns > self._high[:, None])
        is_category = np.array([bool(quantity.codes) for quantity in self._quantities])
        return Block(
            first=day,
            last=day,
            days=1,
            payments=len(values),
            newest_us=int(times_us.max()),
            counts=counts.reshape(self._places, len(self._quantities), self._bins),
            missing=np.isnan(columns).sum(axis=1),
            unseen=unseen,
            outside=np.where(is_category, 0, outside.sum(axis=1)),
        )
