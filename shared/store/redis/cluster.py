"""The online state in a Redis Cluster.

redis-py knows which server holds which key. Its cluster pipeline is left out: when a server is silent it asks for
every command of the batch again, one at a time, each with the full timeout.
"""

import threading
from collections.abc import Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.exceptions import AskError, MovedError, TryAgainError
from redis.retry import Retry

from shared.store.base import AsyncStore
from shared.store.event_loop import ThreadedStore
from shared.store.redis.links import Link, Links
from shared.store.redis.protocol import RedisProtocolStore
from shared.store.redis.requests import ASKING, Command

_ELSEWHERE = (AskError, TryAgainError)  # a MovedError is an AskError
_HOPS_MAX = 5


class RedisClusterStore(RedisProtocolStore):
    """One round trip to every server concerned, all at once; keys that move between servers are followed."""

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        """Connect lazily; a call fails once a server it needs has been silent for `timeout_seconds`.

        url: of any server of the cluster, redis:// or rediss:// (TLS), without a database number.
        """
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._cluster: Any = None
        self._outdated = False
        self._links: dict[str, Links] = {}

    def on_event_loop(self) -> AsyncStore:
        return ThreadedStore(self)

    def close(self) -> None:
        with self._lock:
            for links in self._links.values():
                links.close()
            if self._cluster is not None:
                self._cluster.close()

    def _replies(self, commands: Sequence[Command]) -> list[Any]:
        replies = self._batch(commands)
        moved = set()
        for position, (command, reply) in enumerate(zip(commands, replies, strict=True)):
            # What follows on the same key is asked again too: it was answered before its turn.
            if isinstance(reply, _ELSEWHERE) or command[0] in moved:
                moved.add(command[0])
                replies[position] = self._followed(command, reply)
        self._outdated = self._outdated or bool(moved)
        return replies

    def _batch(self, commands: Sequence[Command]) -> list[Any]:
        """Send every server its commands, then read every server's replies; return them in the commands' order."""
        positions_by_links = self._by_server(commands)
        taken: list[tuple[Links, Link]] = []
        replies: list[Any] = [None] * len(commands)
        try:
            for links, positions in positions_by_links.items():
                taken.append((links, links.take()))
                taken[-1][1].send(b"".join([commands[position][1] for position in positions]), len(positions))
            for (_, link), positions in zip(taken, positions_by_links.values(), strict=True):
                for position, reply in zip(positions, link.receive(), strict=True):
                    replies[position] = reply
        finally:
            for links, link in taken:
                links.give_back(link)
        return replies

    def _by_server(self, commands: Sequence[Command]) -> dict[Links, list[int]]:
        cluster = self._known_cluster()
        links_by_key = {key: self._links_to(cluster.get_node_from_key(key)) for key in {key for key, _ in commands}}
        positions: dict[Links, list[int]] = {}
        for position, (key, _) in enumerate(commands):
            positions.setdefault(links_by_key[key], []).append(position)
        return positions

    def _followed(self, command: Command, reply: Any) -> Any:
        """Ask for one command where the last reply points to, until a server takes it.

        Raises:
            redis.ConnectionError: the key is on its way, and no server takes it now.
        """
        key, packed = command
        for _ in range(_HOPS_MAX):
            if isinstance(reply, AskError):
                links = self._links_to(self._node_at(*reply.node_addr))
            else:
                links = self._links_to(self._known_cluster().get_node_from_key(key))
            if isinstance(reply, AskError) and not isinstance(reply, MovedError):
                reply = links.exchange(ASKING + packed, 2)[1]
            else:
                reply = links.exchange(packed, 1)[0]
            if not isinstance(reply, _ELSEWHERE):
                return reply
        raise redis.ConnectionError(f"no server of the cluster takes {key}: {reply}")

    def _node_at(self, host: str, port: int) -> Any:
        node = self._known_cluster().get_node(host, port)
        if node is None:
            self._outdated = True
            node = self._known_cluster().get_node(host, port)
        if node is None:
            raise redis.ConnectionError(f"the cluster points to {host}:{port}, which it does not list as a member")
        return node

    def _servers(self) -> Sequence[Links]:
        return [self._links_to(node) for node in self._known_cluster().get_primaries()]

    def _links_to(self, node: Any) -> Links:
        links = self._links.get(node.name)
        if links is None:
            with self._lock:
                pool = self._cluster.get_redis_connection(node).connection_pool
                links = self._links.setdefault(node.name, Links(pool))
        return links

    def _known_cluster(self) -> Any:
        """Return redis-py's view of the cluster, made anew when the last one was found wrong."""
        with self._lock:
            if self._cluster is None:
                self._cluster = self._connected()
            elif self._outdated:
                self._cluster.nodes_manager.initialize()
            self._outdated = False
            return self._cluster

    def _connected(self) -> Any:
        return redis.RedisCluster.from_url(
            self._url,
            socket_timeout=self._timeout_seconds,
            socket_connect_timeout=self._timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )

    def _failed(self) -> None:
        self._outdated = True
