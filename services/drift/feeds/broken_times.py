"""When feeds were broken: what was seen and decided then teaches nothing."""

from datetime import datetime

_KEPT_MAX = 100


class BrokenTimes:
    """Stretches of event time in which a feed was broken, the newest ones."""

    def __init__(self) -> None:
        """Start with none."""
        self._over: list[tuple[datetime, datetime]] = []
        self.since: datetime | None = None

    def begin(self, since: datetime) -> None:
        """Take in that a feed is broken; since: None while none is."""
        if self.since is None:
            self.since = since

    def end(self, until: datetime) -> None:
        """Take in that no feed is broken any more."""
        if self.since is not None:
            self._over = [*self._over[1 - _KEPT_MAX :], (self.since, until)]
            self.since = None

    def hold(self, at: datetime) -> bool:
        """Tell whether a feed was broken then."""
        is_open = self.since is not None and at >= self.since
        return is_open or any(since <= at <= until for since, until in self._over)
