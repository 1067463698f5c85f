"""An asynchronous store seen as a plain one, so that one suite holds for both."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta

import uvloop

from shared.store.base import AsyncStore, Store


class OnLoop:
    """Appends and reads on an event loop in a thread of its own, as services do; whatever else goes to the store itself."""

    def __init__(self, store: Store, *, seconds_max: float) -> None:
        self._store = store
        self._seconds_max = seconds_max
        self._asynchronous = store.on_event_loop()
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def append_and_read(
        self, appends: Sequence[tuple[str, bytes]], reads: Sequence[str], *, expire_after: timedelta
    ) -> list[bytes]:
        asked = self._asynchronous.append_and_read(
            appends, reads, expire_after=expire_after, seconds_max=self._seconds_max
        )
        return asyncio.run_coroutine_threadsafe(asked, self._loop).result()

    def replace_prefix(self, key: str, *, prefix: bytes, replacement: bytes) -> bool:
        return self._store.replace_prefix(key, prefix=prefix, replacement=replacement)

    def patch(self, key: str, *, patches: Sequence[tuple[int, bytes]]) -> None:
        self._store.patch(key, patches=patches)

    def set_if_absent(self, key: str, value: bytes, *, expire_after: timedelta) -> bytes | None:
        return self._store.set_if_absent(key, value, expire_after=expire_after)

    def put(self, key: str, value: bytes, *, expire_after: timedelta | None) -> None:
        self._store.put(key, value, expire_after=expire_after)

    def keys(self, prefix: str) -> Iterator[str]:
        return self._store.keys(prefix)

    def reachable(self) -> bool:
        return self._store.reachable()

    def on_event_loop(self) -> AsyncStore:
        return self._asynchronous

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close_asynchronous(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._store.close()

    async def _close_asynchronous(self) -> None:
        self._asynchronous.close()
