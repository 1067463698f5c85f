"""The clock, injected everywhere: domain code never asks the operating system for the time."""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Wall time for people and events, monotonic time for durations."""

    def now(self) -> datetime:
        """Return the wall time, in UTC."""
        ...

    def monotonic_seconds(self) -> float:
        """Return seconds that never go back."""
        ...


class SystemClock:
    """The operating system's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_seconds(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told to."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._elapsed = timedelta()
        self._lock = threading.Lock()

    def advance(self, by: timedelta) -> None:
        """Move forward."""
        with self._lock:
            self._elapsed += by

    def now(self) -> datetime:
        return self._start + self._elapsed

    def monotonic_seconds(self) -> float:
        return self._elapsed.total_seconds()
