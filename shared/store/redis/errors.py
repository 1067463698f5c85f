"""What Redis and redis-py complain of, turned into the port's errors."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from redis import exceptions

from shared.store.base import StoreUnavailableError

LOST = (redis.ConnectionError, ConnectionError)
"""The connection was cut, or none could be made."""

# A server out of memory or just become a replica refuses writes, as a rule for a while.
_UNAVAILABLE = (
    *LOST,
    OSError,
    redis.TimeoutError,
    redis.OutOfMemoryError,
    redis.ReadOnlyError,
    exceptions.ClusterError,
    exceptions.TryAgainError,
    exceptions.RedisClusterException,
)


@contextmanager
def translated() -> Iterator[None]:
    """Turn the errors of what runs inside into the port's.

    Raises:
        StoreUnavailableError: a server did not answer, or refuses for now.
        redis.RedisError: whatever else it said.
    """
    try:
        yield
    except _UNAVAILABLE as error:
        raise StoreUnavailableError(f"Redis does not answer, or refuses: {error}") from error
    except exceptions.MovedError as error:
        raise redis.RedisError("this Redis is part of a cluster: name it redis+cluster://..., not redis://") from error


def accepted(replies: Sequence[Any]) -> Sequence[Any]:
    """Return `replies`; raises the first that is an error."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies
