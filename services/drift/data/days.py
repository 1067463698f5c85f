"""Which days of event time are open, and when one is over.

Payments come in any order. A day is over when payments of later days prevail: each of them counts one up, each
payment of the day itself or of an earlier one counts one down. So a payment that is dated far ahead moves nothing,
however many such payments are strewn in, while a stream that goes on after weeks of silence is followed at once.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]

OPEN_MAX = 3
LATER_MIN = 20
LATER_SHARE = 0.01
"""Of the day's own payments: so many later ones more than its own end it, and LATER_MIN at least."""

_DAY_US = 86_400_000_000
_DAY_SECONDS = 86_400


def days_of(times_us: Integers) -> Integers:
    """Return the day of each event time, in days since 1970, shape as `times_us`."""
    days: Integers = times_us // _DAY_US
    return days


def begin_of(day: int) -> datetime:
    """Return the midnight that `day`, in days since 1970, begins with."""
    return datetime.fromtimestamp(day * _DAY_SECONDS, UTC)


class Run(NamedTuple):
    """Payments of one day that came one behind the other: places first..last - 1 of what was given.

    closed: days that ended before them, in order. dropped: open days that turned out to be none.
    """

    day: int
    first: int
    last: int
    closed: tuple[int, ...]
    dropped: tuple[int, ...]


@dataclass
class _Open:
    payments: int = 0
    later: int = 0
    """Payments of later days beyond those of this day and earlier ones, lately."""

    def is_over(self) -> bool:
        return self.later >= max(LATER_MIN, LATER_SHARE * self.payments)


class Calendar:
    """Tells to which open day a payment belongs.

    out_of_calendar: payments that belong to none: dated far ahead, or after their day was over.
    """

    def __init__(self) -> None:
        """Start with no day open."""
        self.out_of_calendar = 0
        self._open: dict[int, _Open] = {}
        self._over: int | None = None
        self._over_payments = 0
        self._behind = 0

    def take(self, days: Integers) -> list[Run]:
        """Return the runs of payments that count, in the order they came in.

        days: shape (n,), as days_of. The caller closes and drops days before it counts the run's own payments.
        """
        ends = [*(np.flatnonzero(days[1:] != days[:-1]) + 1).tolist(), len(days)] if len(days) else []
        runs, first = [], 0
        for last in ends:
            day = int(days[first])
            self._go_back(day, last - first)
            if self._over is not None and day <= self._over:
                self.out_of_calendar += last - first
            else:
                dropped = self._make_room(day)
                runs.append(Run(day, first, last, self._pass(day, last - first), dropped))
            first = last
        return runs

    def _go_back(self, day: int, payments: int) -> None:
        """Begin again at `day`, where payments as many as a day has say that the calendar went ahead of them."""
        if self._over is None or day > self._over:
            self._behind = max(0, self._behind - payments)
            return
        self._behind += payments
        if self._behind >= max(LATER_MIN, self._over_payments):
            self._over, self._behind = day - 1, 0

    def _make_room(self, day: int) -> tuple[int, ...]:
        """Open `day`; of too many open days the one with the fewest payments goes, the latest of several."""
        if day in self._open:
            return ()
        least = min(self._open, key=lambda other: (self._open[other].payments, -other), default=None)
        dropped: tuple[int, ...] = ()
        if least is not None and len(self._open) == OPEN_MAX:
            self.out_of_calendar += self._open.pop(least).payments
            dropped = (least,)
        self._open[day] = _Open()
        return dropped

    def _pass(self, day: int, payments: int) -> tuple[int, ...]:
        """Count payments of `day`; return the days that are over by now, ascending."""
        self._open[day].payments += payments
        for other, state in self._open.items():
            state.later = state.later + payments if other < day else max(0, state.later - payments)
        over = max((other for other, state in self._open.items() if state.is_over()), default=None)
        if over is None:
            return ()
        self._over, self._over_payments = over, self._open[over].payments
        closed = tuple(sorted(other for other in self._open if other <= over))
        for other in closed:
            del self._open[other]
        return closed
