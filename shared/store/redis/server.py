"""The online state on one Redis server."""

from collections.abc import Sequence
from typing import Any

import redis

from shared.store.base import AsyncStore
from shared.store.redis.links import Links
from shared.store.redis.multiplexed import MultiplexedStore
from shared.store.redis.protocol import RedisProtocolStore
from shared.store.redis.requests import Command


class RedisStore(RedisProtocolStore):
    """One round trip for each call, whatever the number of keys."""

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        """Connect lazily to `url`; a call fails once the server has been silent for `timeout_seconds`.

        url: as redis-py reads it: redis://user:password@host:port/database, rediss:// for TLS, or
            unix:///path?db=database.
        """
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._links = Links(
            redis.ConnectionPool.from_url(
                url,
                socket_timeout=timeout_seconds,
                socket_connect_timeout=timeout_seconds,
                protocol=2,  # version 3 may push messages between replies
            )
        )

    def on_event_loop(self) -> AsyncStore:
        return MultiplexedStore(self._url, timeout_seconds=self._timeout_seconds)

    def close(self) -> None:
        self._links.close()

    def _replies(self, commands: Sequence[Command]) -> list[Any]:
        return self._links.exchange(b"".join([packed for _, packed in commands]), len(commands))

    def _servers(self) -> Sequence[Links]:
        return [self._links]

    def _failed(self) -> None:
        """Nothing is known of the server that could be out of date."""
