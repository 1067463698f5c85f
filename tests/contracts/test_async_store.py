"""What a store on an event loop does within the time its caller has; all else is in test_store and test_redis_troubles."""

import asyncio
import os
import signal
import ssl
import time
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
import uvloop

from shared.store.base import AsyncStore, StoreTimeoutError, StoreUnavailableError
from shared.store.event_loop import ThreadedStore
from shared.store.redis import open_store
from tests.contracts.slow_way import slow_way
from tests.contracts.valkey import ValkeyServer
from tests.unit.access.listening import self_signed

pytest_plugins = ["tests.contracts.store_servers"]
pytestmark = pytest.mark.servers
HOUR = timedelta(hours=1)
PATIENCE_SECONDS = 30.0


@pytest.fixture
def key() -> str:
    return f"test:{uuid.uuid4().hex}"


def on_loop(url: str, use: Callable[[AsyncStore], Awaitable[None]], *, timeout_seconds: float = 5.0) -> None:
    """Run `use` on an event loop, with a store of its own."""
    store = open_store(url, timeout_seconds=timeout_seconds)
    asynchronous = store.on_event_loop()

    async def used() -> None:
        try:
            await use(asynchronous)
        finally:
            asynchronous.close()

    uvloop.run(used())
    store.close()


async def value_of(store: AsyncStore, key: str, *, seconds_max: float = 5.0) -> bytes:
    (value,) = await store.append_and_read([], [key], expire_after=HOUR, seconds_max=seconds_max)
    return value


async def append(store: AsyncStore, key: str, value: bytes, *, seconds_max: float = 5.0) -> None:
    await store.append_and_read([(key, value)], [], expire_after=HOUR, seconds_max=seconds_max)


def test_many_callers_at_once_each_get_their_own_replies(valkey_server: ValkeyServer, key: str) -> None:
    async def use(store: AsyncStore) -> None:
        async def caller(number: int) -> None:
            own = f"{key}:{number}"
            for times in range(1, 20):
                values = await store.append_and_read(
                    [(own, b"%d," % number)], [own, key], expire_after=HOUR, seconds_max=5.0
                )
                assert values == [b"%d," % number * times, b""]

        await asyncio.gather(*map(caller, range(100)))

    on_loop(valkey_server.url, use)


def test_large_and_small_values_come_whole_over_tls(valkey_server: ValkeyServer, key: str, tmp_path: Path) -> None:
    identity = self_signed(tmp_path, "store")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(identity.certificate, identity.key)

    async def use(store: AsyncStore) -> None:
        await append(store, key, b"large" * 100_000)
        assert await value_of(store, key) == b"large" * 100_000
        await asyncio.gather(*(append(store, f"{key}:{number}", b"%d" % number) for number in range(50)))
        assert await value_of(store, f"{key}:7") == b"7"

    with slow_way(valkey_server.port, tls=tls) as way:
        on_loop(f"rediss://127.0.0.1:{way.port}/0?ssl_ca_certs={identity.certificate}", use)


def test_a_late_reply_is_nobody_elses(valkey_server: ValkeyServer, key: str) -> None:
    with slow_way(valkey_server.port) as way:

        async def use(store: AsyncStore) -> None:
            for number in range(10):
                await append(store, f"{key}:{number}", b"%d" % number)
            way.delay_seconds = 0.2
            for number in range(5):
                with pytest.raises(StoreTimeoutError):
                    await value_of(store, f"{key}:{number}", seconds_max=0.01)
            for number in range(5, 10):
                assert await value_of(store, f"{key}:{number}") == b"%d" % number

        on_loop(f"redis://127.0.0.1:{way.port}", use)


def test_a_caller_who_leaves_leaves_no_reply_to_others(valkey_server: ValkeyServer, key: str) -> None:
    async def use(store: AsyncStore) -> None:
        await append(store, key, b"a")
        leaving = asyncio.create_task(value_of(store, key + "x"))
        await asyncio.sleep(0)
        leaving.cancel()
        assert await value_of(store, key) == b"a"

    on_loop(valkey_server.url, use)


def test_a_silent_server_is_waited_for_no_longer_than_told_then_not_at_all_until_it_is_back(
    valkey_server: ValkeyServer, key: str
) -> None:
    async def use(store: AsyncStore) -> None:
        await append(store, key, b"a")
        os.kill(valkey_server.pid, signal.SIGSTOP)
        try:
            while True:  # until the connection is given up
                with pytest.raises(StoreUnavailableError) as refused:
                    await value_of(store, key, seconds_max=0.05)
                if not isinstance(refused.value, StoreTimeoutError):
                    break
            with pytest.raises(StoreUnavailableError, match="silent"):
                await value_of(store, key, seconds_max=PATIENCE_SECONDS)
        finally:
            os.kill(valkey_server.pid, signal.SIGCONT)
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            try:
                assert await value_of(store, key) == b"a"
            except StoreUnavailableError:
                await asyncio.sleep(0.02)
            else:
                return
        pytest.fail("never back")

    on_loop(valkey_server.url, use, timeout_seconds=0.3)


def test_a_plain_store_in_threads_is_given_up_in_time_too(valkey_server: ValkeyServer, key: str) -> None:
    async def use(_: AsyncStore) -> None:
        plain = open_store(valkey_server.url, timeout_seconds=0.5)
        store = ThreadedStore(plain)
        await append(store, key, b"a")
        os.kill(valkey_server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(StoreTimeoutError):
                await value_of(store, key, seconds_max=0.05)
        finally:
            os.kill(valkey_server.pid, signal.SIGCONT)
        assert await value_of(store, key) == b"a"
        store.close()
        plain.close()

    on_loop(valkey_server.url, use)
