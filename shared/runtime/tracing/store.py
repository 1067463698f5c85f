"""The store's calls as spans; a store is wrapped only where traces are on."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from shared.runtime.tracing.acting import Value, step
from shared.store.base import AsyncStore, Store

_CALL: dict[str, Value] = {"db.system.name": "redis"}


def stepped(store: Store) -> Store:
    """Return `store`, each of its calls a span below those that are worked on."""
    return _SteppedStore(store)


def _keys(count: int) -> dict[str, Value]:
    return {**_CALL, "headrace.keys": count}


class _SteppedStore:
    def __init__(self, store: Store) -> None:
        self._store = store

    def append_and_read(
        self, appends: Sequence[tuple[str, bytes]], reads: Sequence[str], *, expire_after: timedelta
    ) -> list[bytes]:
        with step("append_and_read", _keys(len(appends) + len(reads)), kind="client"):
            return self._store.append_and_read(appends, reads, expire_after=expire_after)

    def replace_prefix(self, key: str, *, prefix: bytes, replacement: bytes) -> bool:
        with step("replace_prefix", _CALL, kind="client"):
            return self._store.replace_prefix(key, prefix=prefix, replacement=replacement)

    def patch(self, key: str, *, patches: Sequence[tuple[int, bytes]]) -> None:
        with step("patch", _CALL, kind="client"):
            self._store.patch(key, patches=patches)

    def set_if_absent(self, key: str, value: bytes, *, expire_after: timedelta) -> bytes | None:
        with step("set_if_absent", _CALL, kind="client"):
            return self._store.set_if_absent(key, value, expire_after=expire_after)

    def put(self, key: str, value: bytes, *, expire_after: timedelta | None) -> None:
        with step("put", _CALL, kind="client"):
            self._store.put(key, value, expire_after=expire_after)

    def keys(self, prefix: str) -> Iterator[str]:
        return self._store.keys(prefix)

    def reachable(self) -> bool:
        return self._store.reachable()

    def on_event_loop(self) -> AsyncStore:
        return _SteppedAsyncStore(self._store.on_event_loop())

    def close(self) -> None:
        self._store.close()


class _SteppedAsyncStore:
    def __init__(self, store: AsyncStore) -> None:
        self._store = store

    async def append_and_read(
        self,
        appends: Sequence[tuple[str, bytes]],
        reads: Sequence[str],
        *,
        expire_after: timedelta,
        seconds_max: float,
    ) -> list[bytes]:
        with step("append_and_read", _keys(len(appends) + len(reads)), kind="client"):
            return await self._store.append_and_read(appends, reads, expire_after=expire_after, seconds_max=seconds_max)

    def close(self) -> None:
        self._store.close()
