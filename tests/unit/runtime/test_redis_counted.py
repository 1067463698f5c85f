"""What the metrics tell of Redis: how long calls take, and how they fail."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta

import pytest

from shared.runtime import metrics
from shared.store.base import StoreUnavailableError
from shared.store.redis import open_store

HOUR = timedelta(hours=1)
SECONDS_MAX = 0.05


@contextmanager
def port(*, is_open: bool) -> Iterator[int]:
    """Yield a port where nobody listens, or somebody who never says a word."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        number: int = server.getsockname()[1]
        if not is_open:
            server.close()
        yield number


def calls() -> float:
    return metrics.REGISTRY.get_sample_value("headrace_redis_call_seconds_count") or 0.0


def errors() -> dict[str, float | None]:
    kinds = ("slow", "away", "refused", "wrong")
    return {kind: metrics.REGISTRY.get_sample_value("headrace_redis_errors_total", {"kind": kind}) for kind in kinds}


def ask(url: str, *, on_event_loop: bool) -> None:
    store = open_store(url, timeout_seconds=SECONDS_MAX)
    if not on_event_loop:
        with closing(store):
            store.append_and_read([], ["a"], expire_after=HOUR)
        return

    async def asked() -> None:
        with closing(store.on_event_loop()) as loop_store:
            await loop_store.append_and_read([], ["a"], expire_after=HOUR, seconds_max=SECONDS_MAX)

    with closing(store):
        asyncio.run(asked())


@pytest.mark.parametrize("on_event_loop", [False, True])
@pytest.mark.parametrize(("is_open", "kind"), [(True, "slow"), (False, "away")])
def test_a_call_that_fails_is_timed_and_counted_by_what_went_wrong(
    is_open: bool, kind: str, on_event_loop: bool
) -> None:
    before, calls_before = errors(), calls()
    with port(is_open=is_open) as number, pytest.raises(StoreUnavailableError):
        ask(f"redis://127.0.0.1:{number}", on_event_loop=on_event_loop)
    assert before[kind] is not None, "it stands at zero before the first"
    assert errors() == before | {kind: (before[kind] or 0.0) + 1}
    assert calls() == calls_before + 1
