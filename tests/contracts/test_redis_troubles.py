"""What a Redis store does when its server, or the way to it, is in trouble."""

import os
import signal
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from threading import Condition, Thread

import pytest
import redis

from services.local.ports import choose_ports
from shared.store.base import Store, StoreUnavailableError
from shared.store.redis import open_store
from tests.contracts.on_loop import OnLoop
from tests.contracts.valkey import ValkeyCluster, ValkeyServer

pytest_plugins = ["tests.contracts.store_servers"]
pytestmark = pytest.mark.servers
HOUR = timedelta(hours=1)
WAIT_SECONDS_MAX = 60.0


@dataclass(frozen=True)
class Deployment:
    url: str
    servers: list[ValkeyServer]


@pytest.fixture(params=["redis", "redis_unix", "cluster"])
def deployment(request: pytest.FixtureRequest) -> Deployment:
    if request.param == "cluster":
        cluster: ValkeyCluster = request.getfixturevalue("valkey_cluster")
        return Deployment(cluster.url, cluster.nodes)
    server: ValkeyServer = request.getfixturevalue("valkey_server")
    return Deployment(server.url if request.param == "redis" else server.unix_url, [server])


@pytest.fixture
def plain_store(deployment: Deployment) -> Iterator[Store]:
    opened = open_store(deployment.url, timeout_seconds=0.5)
    yield opened
    opened.close()


@pytest.fixture(params=["plain", "on_event_loop"])
def store(request: pytest.FixtureRequest, plain_store: Store) -> Iterator[Store]:
    if request.param == "plain":
        yield plain_store
        return
    on_loop = OnLoop(plain_store, seconds_max=0.5)
    yield on_loop
    on_loop.close()


@pytest.fixture
def keys() -> list[str]:
    """So many that every server of a cluster has some."""
    name = uuid.uuid4().hex
    return [f"{name}:{{{number}}}" for number in range(40)]


def append_to_all(store: Store, keys: list[str], value: bytes) -> list[bytes]:
    return store.append_and_read([(key, value) for key in keys], keys, expire_after=HOUR)


class Writer(Thread):
    """Appends its own mark to its own keys again and again; notes what came back."""

    def __init__(self, store: Store, keys: list[str], mark: bytes, changed: Condition) -> None:
        super().__init__()
        self._store, self._changed = store, changed
        self.keys, self.piece = keys, mark * 500
        self.done = 0
        self.failed = 0
        self.strange: list[bytes] = []
        self.stopping = False

    def run(self) -> None:
        while not self.stopping:
            try:
                values = append_to_all(self._store, self.keys, self.piece)
            except StoreUnavailableError:
                self._count(failed=1)
            else:
                self.strange += [value for value in values if value.strip(self.piece[:1]) or len(value) % 500]
                self._count(done=1)

    def _count(self, *, done: int = 0, failed: int = 0) -> None:
        with self._changed:
            self.done += done
            self.failed += failed
            self._changed.notify_all()


def test_a_server_that_falls_silent_makes_errors_and_never_mixes_up_replies(
    deployment: Deployment, store: Store, keys: list[str]
) -> None:
    changed = Condition()
    writers = [Writer(store, [f"{mark}{key}" for key in keys], mark.encode(), changed) for mark in "abcd"]

    def wait_for_more(count: Callable[[Writer], int], more: int) -> None:
        wanted = {writer: count(writer) + more for writer in writers}
        with changed:
            assert changed.wait_for(
                lambda: all(count(writer) >= wanted[writer] for writer in writers), WAIT_SECONDS_MAX
            )

    for writer in writers:
        writer.start()
    try:
        for _ in range(2):
            wait_for_more(lambda writer: writer.done, 10)
            os.kill(deployment.servers[-1].pid, signal.SIGSTOP)
            try:
                wait_for_more(lambda writer: writer.failed, 1)
            finally:
                os.kill(deployment.servers[-1].pid, signal.SIGCONT)
        wait_for_more(lambda writer: writer.done, 10)
    finally:
        for writer in writers:
            writer.stopping = True
        for writer in writers:
            writer.join()
    for writer in writers:
        assert writer.strange == []
        lengths = {len(value) for value in store.append_and_read([], writer.keys, expire_after=HOUR)}
        assert min(lengths) >= 500 * writer.done, "an append that was confirmed is not there"
        assert max(lengths) <= 500 * (writer.done + writer.failed), "an append stands twice"


def test_a_connection_that_was_cut_is_replaced_unnoticed(deployment: Deployment, store: Store, keys: list[str]) -> None:
    append_to_all(store, keys, b"a")
    for server in deployment.servers:
        server.ask("CLIENT KILL", "TYPE", "normal", "SKIPME", "yes")
    assert append_to_all(store, keys, b"b") == [b"ab"] * len(keys)
    assert store.reachable()


def test_what_the_server_refuses_is_raised_and_the_next_call_is_right(
    deployment: Deployment, store: Store, keys: list[str]
) -> None:
    push_somewhere(deployment, keys[3], "an element of a list")
    with pytest.raises(redis.ResponseError, match="wrong kind of value"):
        append_to_all(store, keys, b"a")
    others = keys[:3] + keys[4:]
    assert append_to_all(store, others, b"b") == [b"ab"] * len(others)


def push_somewhere(deployment: Deployment, key: str, element: str) -> None:
    for server in deployment.servers:
        try:
            server.ask("LPUSH", key, element)
        except redis.exceptions.MovedError:
            continue
        return
    pytest.fail(f"nobody takes {key}")


def test_a_full_server_is_one_to_try_again(deployment: Deployment, store: Store, keys: list[str]) -> None:
    for server in deployment.servers:
        server.ask("CONFIG SET", "maxmemory", "1")
    try:
        with pytest.raises(StoreUnavailableError, match="maxmemory"):
            append_to_all(store, keys, b"a")
    finally:
        for server in deployment.servers:
            server.ask("CONFIG SET", "maxmemory", "0")
    assert append_to_all(store, keys, b"b") == [b"b"] * len(keys)


def test_a_script_that_the_server_forgot_is_sent_again(deployment: Deployment, store: Store, keys: list[str]) -> None:
    append_to_all(store, keys, b"ab")
    for _ in range(2):
        for server in deployment.servers:
            server.ask("SCRIPT FLUSH")
        assert store.replace_prefix(keys[0], prefix=b"a", replacement=b"a")


def test_a_forked_process_makes_connections_of_its_own(plain_store: Store, keys: list[str]) -> None:
    append_to_all(plain_store, keys, b"a")

    def all_answers_are_right(mark: bytes) -> bool:
        own = [f"{mark!r}{key}" for key in keys]
        return all(append_to_all(plain_store, own, mark) == [mark * times] * len(own) for times in range(1, 300))

    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if all_answers_are_right(b"child") else 1
        finally:
            os._exit(status)
    right = all_answers_are_right(b"parent")
    assert os.waitpid(child, 0)[1] == 0
    assert right


@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
def test_where_nothing_answers_every_call_says_so(scheme: str) -> None:
    store = open_store(f"{scheme}://127.0.0.1:{choose_ports([None])[0]}", timeout_seconds=1)
    assert not store.reachable()
    calls: list[Callable[[], object]] = [
        lambda: store.append_and_read([("a", b"a")], [], expire_after=HOUR),
        lambda: store.replace_prefix("a", prefix=b"a", replacement=b""),
        lambda: store.patch("a", patches=[(0, b"a")]),
        lambda: store.set_if_absent("a", b"a", expire_after=HOUR),
        lambda: list(store.keys("a")),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailableError):
            call()
    store.close()


def test_user_password_and_database_are_those_of_the_url(valkey_server: ValkeyServer, keys: list[str]) -> None:
    valkey_server.ask("ACL SETUSER", "teller", "on", ">p@ss", "~*", "+@all")
    place = f"127.0.0.1:{valkey_server.port}/3"
    store = open_store(f"redis://teller:p%40ss@{place}", timeout_seconds=5)
    assert append_to_all(store, keys, b"a") == [b"a"] * len(keys)
    assert valkey_server.ask("EXISTS", *keys) == 0
    stranger = open_store(f"redis://teller:wrong@{place}", timeout_seconds=5)
    assert not stranger.reachable()
    with pytest.raises(StoreUnavailableError, match="invalid username-password"):
        append_to_all(stranger, keys, b"a")
    store.close()


def test_one_server_of_a_cluster_named_as_if_it_were_alone_is_told(
    valkey_cluster: ValkeyCluster, keys: list[str]
) -> None:
    store = open_store(valkey_cluster.nodes[0].url, timeout_seconds=5)
    with pytest.raises(redis.RedisError, match=r"redis\+cluster://"):
        append_to_all(store, keys, b"a")
    store.close()


def test_keys_are_followed_while_they_move_within_the_cluster(valkey_cluster: ValkeyCluster, keys: list[str]) -> None:
    store = open_store(valkey_cluster.url, timeout_seconds=5)
    tag = keys[0]
    family = [tag, f"{tag}:new"]
    append_to_all(store, family[:1], b"a")
    source, target = valkey_cluster.begin_move(tag)
    # The first key is still at the source, the second is made at the target.
    assert append_to_all(store, family, b"b") == [b"ab", b"b"]
    valkey_cluster.end_move(tag, source, target)
    assert append_to_all(store, family, b"c") == [b"abc", b"bc"]
    assert store.replace_prefix(tag, prefix=b"a", replacement=b"A")
    source.ask("CONFIG RESETSTAT")
    assert append_to_all(store, family, b"d") == [b"Abcd", b"bcd"]
    assert "errorstat_MOVED" not in source.ask("INFO", "errorstats"), "where the keys went is not remembered"
    store.close()
