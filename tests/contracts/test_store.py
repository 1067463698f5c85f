"""What every store must do; run against each adapter."""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from threading import Thread

import pytest

from shared.runtime.clock import SystemClock
from shared.store.base import Store
from shared.store.memory import MemoryStore
from shared.store.redis import RedisStore

HOUR = timedelta(hours=1)


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.servers)])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore(SystemClock())
    else:
        redis = RedisStore(request.getfixturevalue("redis_url"), timeout_seconds=5)
        yield redis
        redis.close()


@pytest.fixture
def key() -> str:
    return f"test:{uuid.uuid4().hex}"


def value_of(store: Store, key: str) -> bytes:
    (value,) = store.append_and_read([], [key], expire_after=HOUR)
    return value


def test_appends_stand_in_order_and_are_read_back_in_the_same_call(store: Store, key: str) -> None:
    store.append_and_read([(key, b"a")], [], expire_after=HOUR)
    assert store.append_and_read([(key, b"b"), (key, b"c")], [key, key + "x"], expire_after=HOUR) == [b"abc", b""]


def test_appends_from_many_writers_are_all_there(store: Store, key: str) -> None:
    def append(mark: bytes) -> None:
        for _ in range(200):
            store.append_and_read([(key, mark * 8)], [key], expire_after=HOUR)

    threads = [Thread(target=append, args=(mark,)) for mark in (b"a", b"b", b"c", b"d")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    value = value_of(store, key)
    pieces = [value[at : at + 8] for at in range(0, len(value), 8)]
    assert sorted(pieces) == sorted(mark * 8 for mark in (b"a", b"b", b"c", b"d") for _ in range(200))


def test_a_value_is_replaced_only_if_nobody_appended_since(store: Store, key: str) -> None:
    store.append_and_read([(key, b"abcd")], [], expire_after=HOUR)
    assert store.replace_if_unchanged(key, length=4, value=b"cd")
    assert value_of(store, key) == b"cd"
    store.append_and_read([(key, b"ef")], [], expire_after=HOUR)
    assert not store.replace_if_unchanged(key, length=2, value=b"")
    assert value_of(store, key) == b"cdef"


def test_the_first_to_set_wins(store: Store, key: str) -> None:
    assert store.set_if_absent(key, b"first", expire_after=HOUR) is None
    assert store.set_if_absent(key, b"second", expire_after=HOUR) == b"first"
    assert value_of(store, key) == b"first"


def test_a_value_is_gone_when_its_time_has_passed(store: Store, key: str) -> None:
    store.append_and_read([(key, b"a")], [], expire_after=timedelta(milliseconds=20))
    store.set_if_absent(key + "x", b"a", expire_after=timedelta(milliseconds=20))
    for _ in range(10_000_000):
        if value_of(store, key) == b"" and value_of(store, key + "x") == b"":
            return
    pytest.fail("still there")


def test_replacing_keeps_the_time_to_live(store: Store, key: str) -> None:
    store.append_and_read([(key, b"abcd")], [], expire_after=timedelta(milliseconds=50))
    store.replace_if_unchanged(key, length=4, value=b"ab")
    for _ in range(10_000_000):
        if value_of(store, key) == b"":
            return
    pytest.fail("still there")


def test_the_store_says_that_it_can_be_reached(store: Store) -> None:
    assert store.reachable()
