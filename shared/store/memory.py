"""The online state in this process's memory: for tests, simulation, and machines without a Redis-protocol server."""

import threading
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from shared.runtime.clock import Clock
from shared.store.base import AsyncStore
from shared.store.event_loop import ImmediateStore


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

    def replace_prefix(self, key: str, *, prefix: bytes, replacement: bytes) -> bool:
        if not prefix:
            raise ValueError(f"replacing a prefix of {key}: the prefix is empty; give the bytes to replace")
        with self._lock:
            value = self._read(key)
            if not value.startswith(prefix):
                return False
            self._values[key] = replacement + value[len(prefix) :]
            if not self._values[key]:
                self._remove(key)
            return True

    def patch(self, key: str, *, patches: Sequence[tuple[int, bytes]]) -> None:
        with self._lock:
            value = bytearray(self._read(key))
            for offset, patch in filter(lambda item: item[1], patches):
                value.extend(bytes(max(0, offset + len(patch) - len(value))))
                value[offset : offset + len(patch)] = patch
            if value:
                self._values[key] = bytes(value)

    def set_if_absent(self, key: str, value: bytes, *, expire_after: timedelta) -> bytes | None:
        with self._lock:
            present = self._read(key)
            if present:
                return present
            self._values[key] = value
            self._expiries[key] = self._clock.now() + expire_after
            return None

    def put(self, key: str, value: bytes, *, expire_after: timedelta | None) -> None:
        with self._lock:
            self._values.pop(key, None)
            self._expiries.pop(key, None)
            if value:
                self._values[key] = value
            if value and expire_after is not None:
                self._expiries[key] = self._clock.now() + expire_after

    def keys(self, prefix: str) -> Iterator[str]:
        with self._lock:
            chosen = [key for key in list(self._values) if key.startswith(prefix) and self._read(key)]
        return iter(chosen)

    def reachable(self) -> bool:
        return True

    def on_event_loop(self) -> AsyncStore:
        return ImmediateStore(self)

    def close(self) -> None:
        """Nothing is held open."""

    def _read(self, key: str) -> bytes:
        if key in self._expiries and self._expiries[key] <= self._clock.now():
            self._remove(key)
        return self._values.get(key, b"")

    def _remove(self, key: str) -> None:
        del self._values[key]
        self._expiries.pop(key, None)
