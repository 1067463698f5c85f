"""What the servers of the online state tell of themselves; nothing is changed by asking."""

import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisClusterException, RedisError, ResponseError
from redis.retry import Retry

from shared.runtime.clock import Clock
from shared.store.base import StoreUnavailableError

_PINGS = 20


class ServerFacts(NamedTuple):
    """One server as it is.

    version: of Redis, or of the Redis that a Valkey is compatible with. limit_bytes: what it may use, or else what its
    machine has; None where it tells neither. eviction: what it does when that is reached. keeps_log: it writes every
    change to its disk (AOF). snapshots: when it writes all it has, as CONFIG has it; None where that is not told.
    write_problem: what went wrong when it last wrote to its disk. round_trip_seconds: the shortest of some, as others
    share the way. ahead_seconds: how far its clock is ahead of the one here. cluster_state: None where it is not of a
    cluster.
    """

    address: str
    version: tuple[int, int]
    used_bytes: int
    limit_bytes: int | None
    eviction: str
    keeps_log: bool
    snapshots: str | None
    write_problem: str | None
    round_trip_seconds: float
    ahead_seconds: float
    cluster_state: str | None


def inspect_servers(url: str, *, timeout_seconds: float, clock: Clock) -> list[ServerFacts]:
    """Return what each server tells that `url` names, of a cluster each primary.

    url: as for `open_store`.

    Raises:
        StoreUnavailableError: one of them does not answer.
    """
    try:
        with contextlib.ExitStack() as opened:
            clients = list(_clients(url, timeout_seconds, opened))
            return [_facts(address, client, clock) for address, client in clients]
    except (RedisError, RedisClusterException, OSError, ValueError) as error:
        raise StoreUnavailableError(f"the store does not answer: {error}") from error


def _clients(url: str, timeout_seconds: float, opened: contextlib.ExitStack) -> Iterator[tuple[str, Any]]:
    limits: dict[str, Any] = {"socket_timeout": timeout_seconds, "socket_connect_timeout": timeout_seconds}
    limits["retry"] = Retry(NoBackoff(), 0)
    scheme, separator, rest = url.partition("://")
    server_scheme, is_cluster, _ = scheme.partition("+cluster")
    if not is_cluster:
        yield "the server", opened.enter_context(redis.Redis.from_url(url, **limits))
        return
    # A cluster that lacks slots is to be told of, not given up.
    options = {**limits, "require_full_coverage": False}
    cluster = opened.enter_context(redis.RedisCluster.from_url(server_scheme + separator + rest, **options))
    for node in cluster.get_primaries():
        yield node.name, cluster.get_redis_connection(node)


def _facts(address: str, client: Any, clock: Clock) -> ServerFacts:
    info: Mapping[str, Any] = client.info("everything")
    major, minor, *_ = str(info["redis_version"]).split(".")
    machine_bytes = int(info.get("total_system_memory", 0))
    return ServerFacts(
        address=address,
        version=(int(major), int(minor)),
        used_bytes=int(info["used_memory"]),
        limit_bytes=int(info.get("maxmemory", 0)) or machine_bytes or None,
        eviction=str(info.get("maxmemory_policy", "unknown")),
        keeps_log=bool(info.get("aof_enabled")),
        snapshots=_snapshots(client),
        write_problem=_write_problem(info),
        round_trip_seconds=min(_round_trips(client, clock)),
        ahead_seconds=_ahead_seconds(client, clock),
        cluster_state=client.cluster("info").get("cluster_state") if info.get("cluster_enabled") else None,
    )


def _snapshots(client: Any) -> str | None:
    try:
        return str(client.config_get("save").get("save", ""))
    except ResponseError:  # not allowed to whoever asks, as with many servers that are run for others
        return None


def _write_problem(info: Mapping[str, Any]) -> str | None:
    kinds = {"rdb_last_bgsave_status": "a snapshot", "aof_last_write_status": "its log"}
    return next((f"it could not write {what}" for field, what in kinds.items() if info.get(field, "ok") != "ok"), None)


def _round_trips(client: Any, clock: Clock) -> Iterator[float]:
    for _ in range(_PINGS):
        begun = clock.monotonic_seconds()
        client.ping()
        yield clock.monotonic_seconds() - begun


def _ahead_seconds(client: Any, clock: Clock) -> float:
    asked = clock.now()
    seconds, microseconds = client.time()
    there = datetime.fromtimestamp(seconds + microseconds / 1_000_000, UTC)
    return (there - (asked + (clock.now() - asked) / 2)).total_seconds()
