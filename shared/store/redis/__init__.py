"""The online state in Redis, or anything that speaks its protocol (Valkey): one server, or a Redis Cluster."""

from shared.store.base import Store
from shared.store.redis.cluster import RedisClusterStore
from shared.store.redis.server import RedisStore

__all__ = ["RedisClusterStore", "RedisStore", "open_store"]


def open_store(url: str, *, timeout_seconds: float) -> Store:
    """Return the store that `url` names; it connects when it is first asked.

    `redis://`, `rediss://` (TLS) and `unix://` name one server; `redis+cluster://` and `rediss+cluster://` name any
    one server of a Redis Cluster, which tells of the others.
    """
    scheme, separator, rest = url.partition("://")
    server_scheme, cluster, _ = scheme.partition("+cluster")
    if cluster:
        return RedisClusterStore(server_scheme + separator + rest, timeout_seconds=timeout_seconds)
    return RedisStore(url, timeout_seconds=timeout_seconds)
