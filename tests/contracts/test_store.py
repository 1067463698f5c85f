"""What every store must do; run against each adapter."""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from threading import Thread

import pytest

from shared.runtime.clock import SystemClock
from shared.store.base import Store
from shared.store.memory import MemoryStore
from shared.store.redis import open_store
from tests.contracts.on_loop import OnLoop
from tests.contracts.valkey import ValkeyCluster, ValkeyServer

pytest_plugins = ["tests.contracts.store_servers"]
HOUR = timedelta(hours=1)
SERVERS = pytest.mark.servers


@pytest.fixture(
    params=[
        "memory",
        pytest.param("redis", marks=SERVERS),
        pytest.param("redis_unix", marks=SERVERS),
        pytest.param("cluster", marks=SERVERS),
    ]
)
def plain_store(request: pytest.FixtureRequest) -> Iterator[Store]:
    opened = MemoryStore(SystemClock()) if request.param == "memory" else open_store(url_of(request), timeout_seconds=5)
    yield opened
    opened.close()


@pytest.fixture(params=["plain", "on_event_loop"])
def store(request: pytest.FixtureRequest, plain_store: Store) -> Iterator[Store]:
    if request.param == "plain":
        yield plain_store
        return
    on_loop = OnLoop(plain_store, seconds_max=30)
    yield on_loop
    on_loop.close()


def url_of(request: pytest.FixtureRequest) -> str:
    if request.param == "cluster":
        cluster: ValkeyCluster = request.getfixturevalue("valkey_cluster")
        return cluster.url
    server: ValkeyServer = request.getfixturevalue("valkey_server")
    return server.url if request.param == "redis" else server.unix_url


@pytest.fixture
def key() -> str:
    return f"test:{uuid.uuid4().hex}"


def value_of(store: Store, key: str) -> bytes:
    (value,) = store.append_and_read([], [key], expire_after=HOUR)
    return value


def append(store: Store, key: str, value: bytes) -> None:
    store.append_and_read([(key, value)], [], expire_after=HOUR)


def assert_goes_away(store: Store, key: str) -> None:
    for _ in range(10_000_000):
        if value_of(store, key) == b"":
            return
    pytest.fail("still there")


def run_together(*threads: Thread) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_appends_stand_in_order_and_are_read_back_in_the_same_call(store: Store, key: str) -> None:
    append(store, key, b"a")
    assert store.append_and_read([(key, b"b"), (key, b"c")], [key, key + "x"], expire_after=HOUR) == [b"abc", b""]


def test_one_call_writes_and_reads_many_keys_wherever_they_are(store: Store, key: str) -> None:
    keys = [f"{key}:{{{number}}}" for number in range(300)]
    appends = [(name, name.encode()) for name in keys for _ in range(2)]
    expected = [name.encode() * 2 for name in keys]
    assert store.append_and_read(appends, [*keys, key], expire_after=HOUR) == [*expected, b""]
    assert store.append_and_read([], keys[::-1], expire_after=HOUR) == expected[::-1]


def test_nothing_to_do_is_done(store: Store, key: str) -> None:
    assert store.append_and_read([], [], expire_after=HOUR) == []
    store.patch(key, patches=[])
    assert list(store.keys(key)) == []


def test_any_text_is_a_key_and_any_bytes_are_a_value(store: Store, key: str) -> None:
    odd_key, odd_value = f"{key} é\r\n$3 *?[x]\\", b"\r\n$-1\r\n\x00\xff" * 3
    append(store, odd_key, odd_value)
    assert value_of(store, odd_key) == odd_value
    assert list(store.keys(f"{key} é\r\n$3 *?[x]\\")) == [odd_key]


def test_large_values_come_back_whole(store: Store, key: str) -> None:
    large = {f"{key}:{number}": bytes([number]) * (3_000_000 + number) for number in range(4)}
    small = f"{key}:small"
    reads = [small, *large, small]
    values = store.append_and_read([(small, b"s"), *large.items()], reads, expire_after=HOUR)
    assert values == [b"s", *large.values(), b"s"]


def test_appends_from_many_writers_are_all_there(store: Store, key: str) -> None:
    def write(mark: bytes) -> None:
        for _ in range(200):
            store.append_and_read([(key, mark * 8)], [key], expire_after=HOUR)

    marks = (b"a", b"b", b"c", b"d")
    run_together(*[Thread(target=write, args=(mark,)) for mark in marks])
    value = value_of(store, key)
    pieces = [value[at : at + 8] for at in range(0, len(value), 8)]
    assert sorted(pieces) == sorted(mark * 8 for mark in marks for _ in range(200))


def test_a_replaced_prefix_keeps_what_others_appended_behind_it(store: Store, key: str) -> None:
    append(store, key, b"abcd")
    append(store, key, b"ef")
    assert store.replace_prefix(key, prefix=b"abcd", replacement=b"CD")
    assert value_of(store, key) == b"CDef"
    assert store.replace_prefix(key, prefix=b"C", replacement=b"longer-")
    assert value_of(store, key) == b"longer-Def"


@pytest.mark.parametrize("prefix", [b"abcx", b"bcd", b"abcde"])
def test_a_prefix_that_is_not_there_any_more_is_not_replaced(store: Store, key: str, prefix: bytes) -> None:
    append(store, key, b"abcd")
    assert not store.replace_prefix(key, prefix=prefix, replacement=b"z")
    assert value_of(store, key) == b"abcd"


def test_nothing_is_put_where_there_is_no_value(store: Store, key: str) -> None:
    assert not store.replace_prefix(key, prefix=b"a", replacement=b"b")
    assert value_of(store, key) == b""
    assert list(store.keys(key)) == []


def test_an_empty_prefix_is_refused(store: Store, key: str) -> None:
    with pytest.raises(ValueError, match="prefix is empty"):
        store.replace_prefix(key, prefix=b"", replacement=b"b")


def test_a_value_replaced_by_nothing_is_gone(store: Store, key: str) -> None:
    append(store, key, b"abcd")
    assert store.replace_prefix(key, prefix=b"abcd", replacement=b"")
    assert list(store.keys(key)) == []
    assert store.set_if_absent(key, b"new", expire_after=HOUR) is None


def test_replacing_while_others_append_loses_nothing_and_repeats_nothing(store: Store, key: str) -> None:
    taken: list[bytes] = []
    written = [[f"{writer}{number:07d}".encode() for number in range(150)] for writer in range(3)]

    def write(records: list[bytes]) -> None:
        for record in records:
            append(store, key, record)

    def take() -> None:
        for _ in range(150):
            value = value_of(store, key)
            prefix = value[: len(value) // 16 * 8]
            if prefix and store.replace_prefix(key, prefix=prefix, replacement=b""):
                taken.append(prefix)

    writers = [Thread(target=write, args=(records,)) for records in written]
    run_together(*writers, Thread(target=take), Thread(target=take))
    everything = b"".join(taken) + value_of(store, key)
    found = [everything[at : at + 8] for at in range(0, len(everything), 8)]
    assert sorted(found) == sorted(record for records in written for record in records)
    assert taken


def test_patches_overwrite_bytes_in_their_places(store: Store, key: str) -> None:
    append(store, key, b"abcdefgh")
    store.patch(key, patches=[(1, b"B"), (6, b"GH"), (1, b"bC"), (100, b"")])
    assert value_of(store, key) == b"abCdefGH"


def test_a_patch_behind_the_end_fills_up_with_zeros(store: Store, key: str) -> None:
    append(store, key, b"ab")
    store.patch(key, patches=[(4, b"e")])
    store.patch(key + "new", patches=[(1, b"b")])
    assert value_of(store, key) == b"ab\x00\x00e"
    assert value_of(store, key + "new") == b"\x00b"


def test_the_first_to_set_wins(store: Store, key: str) -> None:
    assert store.set_if_absent(key, b"first", expire_after=HOUR) is None
    assert store.set_if_absent(key, b"second", expire_after=HOUR) == b"first"
    assert value_of(store, key) == b"first"


def test_what_is_put_takes_the_place_of_what_was_there(store: Store, key: str) -> None:
    append(store, key, b"old")
    store.put(key, b"new", expire_after=HOUR)
    assert value_of(store, key) == b"new"
    store.put(key, b"newer", expire_after=None)
    append(store, key, b"!")
    assert value_of(store, key) == b"newer!"
    store.put(key, b"", expire_after=HOUR)
    store.put(key + "never", b"", expire_after=None)
    assert list(store.keys(key)) == []


def test_a_put_sets_the_time_to_live_or_ends_it(store: Store, key: str) -> None:
    soon = timedelta(milliseconds=20)
    store.put(key + "stays", b"a", expire_after=soon)
    store.put(key + "stays", b"b", expire_after=None)
    store.put(key, b"a", expire_after=HOUR)
    store.put(key, b"b", expire_after=soon)
    assert_goes_away(store, key)
    assert value_of(store, key + "stays") == b"b"


def test_a_value_is_gone_when_its_time_has_passed(store: Store, key: str) -> None:
    soon = timedelta(milliseconds=20)
    store.append_and_read([(key, b"a")], [], expire_after=soon)
    store.append_and_read([(key + "r", b"a")], [key + "r"], expire_after=soon)
    store.set_if_absent(key + "s", b"a", expire_after=soon)
    for name in (key, key + "r", key + "s"):
        assert_goes_away(store, name)
    assert list(store.keys(key)) == []


def test_an_append_renews_the_time_to_live(store: Store, key: str) -> None:
    for reads in ([], [key]):
        store.append_and_read([(key, b"a")], [], expire_after=HOUR)
        store.append_and_read([(key, b"b")], reads, expire_after=timedelta(milliseconds=20))
        assert_goes_away(store, key)


def test_replacing_and_patching_keep_the_time_to_live(store: Store, key: str) -> None:
    store.append_and_read([(key, b"abcd"), (key + "p", b"abcd")], [], expire_after=timedelta(milliseconds=200))
    store.replace_prefix(key, prefix=b"abcd", replacement=b"ab")
    store.patch(key + "p", patches=[(0, b"x")])
    assert_goes_away(store, key)
    assert_goes_away(store, key + "p")


def test_the_keys_that_begin_alike_are_found_among_others(store: Store, key: str) -> None:
    ours = [f"{key}:*:{{{number}}}" for number in range(2500)]
    others = [f"{key}:x:{{{number}}}" for number in range(100)]
    store.append_and_read([(name, b"a") for name in ours + others], [], expire_after=HOUR)
    assert set(store.keys(f"{key}:*:")) == set(ours)
    assert set(store.keys(key)) == {*ours, *others}


def test_the_store_says_that_it_can_be_reached(store: Store) -> None:
    assert store.reachable()
