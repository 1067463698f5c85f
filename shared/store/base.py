"""The port to the online state; every adapter passes the same contract suite (tests/contracts/test_store.py).

What several write only grows by whole appends, so writers need no lock: appends commute. No call needs two keys to be
on one server, so the keys may be spread over a cluster; the caller chooses what stays together by putting
it in braces, as in `card:{c1}:events` (a Redis Cluster hash tag).
"""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Protocol


class StoreUnavailableError(Exception):
    """The store cannot be reached now, or takes no writes now; try again."""


class StoreTimeoutError(StoreUnavailableError):
    """The store did not answer within the time the caller had; it may still do what it was asked."""


class AsyncStore(Protocol):
    """The hot part of a Store for callers on an event loop: for the one loop that calls it first."""

    async def append_and_read(
        self,
        appends: Sequence[tuple[str, bytes]],
        reads: Sequence[str],
        *,
        expire_after: timedelta,
        seconds_max: float,
    ) -> list[bytes]:
        """Do what Store.append_and_read does.

        Raises:
            StoreTimeoutError: there was no answer within `seconds_max`.
            StoreUnavailableError: as Store.append_and_read; at once while the store is known to be away.
        """
        ...

    def close(self) -> None:
        """Let go of connections; on the loop's own thread, or behind its end."""
        ...


class Store(Protocol):
    """Keys to byte strings, each key with a time to live; safe to use from several threads.

    Every method raises StoreUnavailableError when the store does not answer in time. What a failed call wrote may be
    there or not, and when a connection broke an append may stand twice: readers must not mind duplicates.
    """

    def append_and_read(
        self, appends: Sequence[tuple[str, bytes]], reads: Sequence[str], *, expire_after: timedelta
    ) -> list[bytes]:
        """Apply every append (a key, and bytes to add at its end), then return the value of every key in `reads`.

        One round trip; a key without a value reads as empty. The appends to one key are joined in their order and
        applied as one, atomically; each appended key lives for `expire_after` from now.
        """
        ...

    def replace_prefix(self, key: str, *, prefix: bytes, replacement: bytes) -> bool:
        """Put `replacement` in the place of `prefix`, if the value of `key` begins with it; tell whether it did.

        What others appended behind the prefix stays, and so does the time to live. Atomic; a value that becomes
        empty is removed.

        Raises:
            ValueError: the prefix is empty.
        """
        ...

    def patch(self, key: str, *, patches: Sequence[tuple[int, bytes]]) -> None:
        """Overwrite the value of `key` at each offset (in bytes, from 0) with the bytes given, in order.

        A value that ends before an offset is filled up with zero bytes. The time to live stays as it is; a key that
        had no value never expires. Each patch is atomic.
        """
        ...

    def set_if_absent(self, key: str, value: bytes, *, expire_after: timedelta) -> bytes | None:
        """Set `key` unless it has a value; return the value it had, or None when it was set."""
        ...

    def put(self, key: str, value: bytes, *, expire_after: timedelta | None) -> None:
        """Give `key` this value, whatever it had; None: it never expires. An empty value removes it."""
        ...

    def keys(self, prefix: str) -> Iterator[str]:
        """Go through the keys that begin with `prefix`, in no order, without stopping other callers.

        A key that is there from beginning to end is told, now and then more than once; one that comes or goes
        meanwhile may be.
        """
        ...

    def reachable(self) -> bool:
        """Tell whether the store answers now; asks it."""
        ...

    def on_event_loop(self) -> AsyncStore:
        """Return this store for callers on an event loop; to be closed on its own, before this one."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
