"""The port to the online state; every adapter passes the same contract suite (tests/contracts/test_store.py).

Values are byte strings that only grow by whole appends, so writers need no lock: appends commute.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol


class StoreUnavailableError(Exception):
    """The store cannot be reached now; try again."""


class Store(Protocol):
    """Keys to byte strings, each key with a time to live.

    Every method raises StoreUnavailableError when the store does not answer.
    """

    def append_and_read(
        self, appends: Sequence[tuple[str, bytes]], reads: Sequence[str], *, expire_after: timedelta
    ) -> list[bytes]:
        """Apply every append (a key, and bytes to add at its end), then return the value of every key in `reads`.

        One round trip; a key without a value reads as empty. Each append is atomic, and its key lives for
        `expire_after` from now.
        """
        ...

    def replace_if_unchanged(self, key: str, *, length: int, value: bytes) -> bool:
        """Set `key` to `value` if it still is `length` bytes long, keeping its time to live; tell whether it was.

        An append since the caller's read makes the value longer, so it cannot be overwritten.
        """
        ...

    def set_if_absent(self, key: str, value: bytes, *, expire_after: timedelta) -> bytes | None:
        """Set `key` unless it has a value; return the value it had, or None when it was set."""
        ...

    def reachable(self) -> bool:
        """Tell whether the store answers now; asks it."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
