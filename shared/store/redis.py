"""The online state in Redis, or anything that speaks its protocol (Valkey)."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from shared.store.base import StoreUnavailableError

T = TypeVar("T")

# SET ... KEEPTTL inside the script: compare and replace must be one step.
_REPLACE_IF_UNCHANGED = """
if redis.call('STRLEN', KEYS[1]) ~= tonumber(ARGV[1]) then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1
"""

_UNAVAILABLE = (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError)


class RedisStore:
    """One connection pool; safe to use from several threads."""

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        """Connect lazily to `url`; every call gives up after `timeout_seconds` with StoreUnavailableError."""
        self._redis: Any = redis.Redis.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 1),
            retry_on_error=[redis.ConnectionError],
        )
        self._replace = self._redis.register_script(_REPLACE_IF_UNCHANGED)

    def append_and_read(
        self, appends: Sequence[tuple[str, bytes]], reads: Sequence[str], *, expire_after: timedelta
    ) -> list[bytes]:
        def round_trip() -> list[bytes]:
            pipeline = self._redis.pipeline(transaction=False)
            for key, value in appends:
                pipeline.append(key, value)
            appended = {key for key, _ in appends}
            for key in appended.difference(reads):
                pipeline.pexpire(key, expire_after)
            for key in reads:
                # One command where reading and renewing the time to live fall together.
                pipeline.getex(key, px=expire_after if key in appended else None)
            replies = pipeline.execute()
            return [reply or b"" for reply in replies[len(replies) - len(reads) :]]

        return _translated(round_trip)

    def replace_if_unchanged(self, key: str, *, length: int, value: bytes) -> bool:
        return _translated(lambda: bool(self._replace(keys=[key], args=[length, value])))

    def set_if_absent(self, key: str, value: bytes, *, expire_after: timedelta) -> bytes | None:
        present: bytes | None = _translated(lambda: self._redis.set(key, value, nx=True, get=True, px=expire_after))
        return present

    def reachable(self) -> bool:
        try:
            return bool(self._redis.ping())
        except _UNAVAILABLE:
            return False

    def close(self) -> None:
        self._redis.close()


def _translated(call: Callable[[], T]) -> T:
    try:
        return call()
    except _UNAVAILABLE as error:
        raise StoreUnavailableError(f"Redis does not answer: {error}") from error
