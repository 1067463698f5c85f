"""How far ahead of the clock an event may be dated.

Clocks differ a little, so a little is taken. Beyond that an event time is a mistake, and one payment dated next year
would sit in its card's windows a year too early.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.runtime.clock import Clock

AHEAD_OF_CLOCK = "ahead_of_clock"
"""The code under which such an event is refused, over REST and as a dead letter."""


@dataclass(frozen=True)
class FutureBound:
    """A clock and how far ahead of it an event may be; the past has no bound."""

    clock: Clock
    ahead_max: timedelta

    def complaint(self, occurred_at: datetime) -> str | None:
        """Return why an event of that time, between 1970 and 2262, is refused; None when it is not."""
        now = self.clock.now()
        ahead = occurred_at - now
        if ahead <= self.ahead_max:
            return None
        return (
            f"{occurred_at.isoformat()} is {ahead.total_seconds():.0f} s ahead of the clock here, {now.isoformat()}; "
            f"at most {self.ahead_max.total_seconds():.0f} s are taken"
        )
