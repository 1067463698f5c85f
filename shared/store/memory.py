"""The online state in this process's memory: for tests, simulation, and machines without a Redis-protocol server."""

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta

from shared.runtime.clock import Clock


class MemoryStore:
    """A dictionary with times to live, behind one lock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._values: dict[str, bytes] = {}
        self._expiries: dict[str, datetime] = {}

    def append_and_read(
        self, appends: Sequence[tuple[str, bytes]], reads: Sequence[str], *, expire_after: timedelta
    ) -> list[bytes]:
        with self._lock:
            for key, value in appends:
                self._values[key] = self._read(key) + value
                self._expiries[key] = self._clock.now() + expire_after
            return [self._read(key) for key in reads]

    def replace_if_unchanged(self, key: str, *, length: int, value: bytes) -> bool:
        with self._lock:
            if len(self._read(key)) != length:
                return False
            self._values[key] = value
            return True

    def set_if_absent(self, key: str, value: bytes, *, expire_after: timedelta) -> bytes | None:
        with self._lock:
            present = self._read(key)
            if present:
                return present
            self._values[key] = value
            self._expiries[key] = self._clock.now() + expire_after
            return None

    def reachable(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing is held open."""

    def _read(self, key: str) -> bytes:
        if key in self._expiries and self._expiries[key] <= self._clock.now():
            del self._expiries[key], self._values[key]
        return self._values.get(key, b"")
