"""What one Redis server and a Redis Cluster have in common: the commands, and how their replies are read."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import redis

from shared.runtime import metrics
from shared.runtime.clock import SystemClock
from shared.store.base import AsyncStore, StoreUnavailableError
from shared.store.redis import requests
from shared.store.redis.errors import accepted, translated
from shared.store.redis.links import Links
from shared.store.redis.requests import Command

T = TypeVar("T")

_CLOCK = SystemClock()


class RedisProtocolStore(ABC):
    """Every method of the Store port, over two questions that an adapter answers: who serves a key, and who serves."""

    def append_and_read(
        self, appends: Sequence[tuple[str, bytes]], reads: Sequence[str], *, expire_after: timedelta
    ) -> list[bytes]:
        replies = self._ask(requests.append_and_read(appends, reads, expire_after))
        return [reply or b"" for reply in replies[len(replies) - len(reads) :]]

    def replace_prefix(self, key: str, *, prefix: bytes, replacement: bytes) -> bool:
        try:
            replies = self._ask([requests.replace_prefix(key, prefix, replacement, send_script=False)])
        except redis.exceptions.NoScriptError:
            replies = self._ask([requests.replace_prefix(key, prefix, replacement, send_script=True)])
        return bool(replies[0])

    def patch(self, key: str, *, patches: Sequence[tuple[int, bytes]]) -> None:
        self._ask(requests.patch(key, patches))

    def set_if_absent(self, key: str, value: bytes, *, expire_after: timedelta) -> bytes | None:
        present: bytes | None = self._ask([requests.set_if_absent(key, value, expire_after)])[0]
        return present

    def put(self, key: str, value: bytes, *, expire_after: timedelta | None) -> None:
        self._ask([requests.put(key, value, expire_after)])

    def keys(self, prefix: str) -> Iterator[str]:
        for links in self._translated(self._servers):
            cursor = b"0"
            while True:
                cursor, names = self._asked(links, requests.scan(prefix, cursor))
                for name in names:
                    yield name.decode()
                if cursor == b"0":
                    break

    def reachable(self) -> bool:
        try:
            for links in self._translated(self._servers):
                self._asked(links, requests.PING)
        except StoreUnavailableError:
            return False
        return True

    @abstractmethod
    def on_event_loop(self) -> AsyncStore:
        """Return this store for callers on an event loop; to be closed on its own, before this one."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections."""

    @abstractmethod
    def _replies(self, commands: Sequence[Command]) -> list[Any]:
        """Return the reply to every command, in their order; what a server refused stands there as an exception."""

    @abstractmethod
    def _servers(self) -> Sequence[Links]:
        """Return the links to every server that holds keys."""

    def _ask(self, commands: Sequence[Command]) -> Sequence[Any]:
        return self._timed(lambda: accepted(self._replies(commands))) if commands else []

    def _asked(self, links: Links, request: bytes) -> Any:
        return self._timed(lambda: accepted(links.exchange(request, 1))[0])

    def _timed(self, call: Callable[[], T]) -> T:
        started = _CLOCK.monotonic_seconds()
        try:
            return self._translated(call)
        finally:
            metrics.REDIS_CALL_SECONDS.observe(_CLOCK.monotonic_seconds() - started)

    def _translated(self, call: Callable[[], T]) -> T:
        try:
            with translated():
                return call()
        except StoreUnavailableError:
            self._failed()
            raise

    @abstractmethod
    def _failed(self) -> None:
        """Take note that a server did not answer, or refused."""
