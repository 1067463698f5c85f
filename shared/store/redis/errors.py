"""What Redis and redis-py complain of, turned into the port's errors."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import redis
from redis import exceptions

from shared.runtime import metrics
from shared.store.base import StoreTimeoutError, StoreUnavailableError

ErrorKind = Literal["slow", "away", "refused", "wrong"]
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
_TIMEOUTS = (redis.TimeoutError, TimeoutError)


@contextmanager
def translated() -> Iterator[None]:
    """Turn the errors of what runs inside into the port's, and count them.

    Raises:
        StoreUnavailableError: a server did not answer, or refuses for now.
        redis.RedisError: whatever else it said.
    """
    try:
        yield
    except exceptions.NoScriptError:
        raise  # as expected: the script is sent then
    except StoreTimeoutError:
        _count("slow")
        raise
    except _UNAVAILABLE as error:
        _count("slow" if isinstance(error, _TIMEOUTS) else "away" if isinstance(error, (*LOST, OSError)) else "refused")
        raise StoreUnavailableError(f"Redis does not answer, or refuses: {error}") from error
    except exceptions.MovedError as error:
        _count("wrong")
        raise redis.RedisError("this Redis is part of a cluster: name it redis+cluster://..., not redis://") from error
    except redis.RedisError:
        _count("wrong")
        raise


def _count(kind: ErrorKind, *, errors: int = 1) -> None:
    metrics.REDIS_ERRORS.labels(kind).inc(errors)


for _kind in get_args(ErrorKind):
    _count(_kind, errors=0)  # so that the first error is seen as one more


def accepted(replies: Sequence[Any]) -> Sequence[Any]:
    """Return `replies`; raises the first that is an error."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies
