"""A store that blocks, for callers on an event loop."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from shared.store.base import Store, StoreTimeoutError

_THREADS_MAX = 16


class ImmediateStore:
    """Asks a store that never waits, on the loop itself."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def append_and_read(
        self, appends: Sequence[tuple[str, bytes]], reads: Sequence[str], *, expire_after: timedelta, seconds_max: float
    ) -> list[bytes]:
        del seconds_max  # it takes none
        return self._store.append_and_read(appends, reads, expire_after=expire_after)

    def close(self) -> None:
        """Nothing is held open."""


class ThreadedStore:
    """Asks a store from threads; one that is given up goes on until the store's own limit."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor(_THREADS_MAX, thread_name_prefix="store")

    async def append_and_read(
        self, appends: Sequence[tuple[str, bytes]], reads: Sequence[str], *, expire_after: timedelta, seconds_max: float
    ) -> list[bytes]:
        asked = self._threads.submit(self._store.append_and_read, appends, reads, expire_after=expire_after)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(asked), seconds_max)
        except TimeoutError as error:
            raise StoreTimeoutError(f"the store did not answer within {seconds_max:.3f} s") from error

    def close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
