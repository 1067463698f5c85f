"""Lists: which entries match a payment, how they expire, and how the store comes to hold what `lists` says."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.policy.lists import Entries, Lists
from services.scoring.policy.lists_in_force import ListsInForce
from shared.bus.base import Outgoing
from shared.bus.memory import MemoryBus
from shared.contracts.events import ListEvent, Transaction
from shared.contracts.topics import LISTS, TOPICS
from shared.runtime.clock import ManualClock, SystemClock
from shared.runtime.service import Service
from shared.store.base import Store, StoreUnavailableError
from shared.store.memory import MemoryStore
from shared.store.redis import open_store
from tests.events import START, payment
from tests.unit.scoring.policy.policy_scene import announce, list_event
from tests.unit.scoring.scoring_scene import running, wait_until

DAY = timedelta(days=1)
PAYMENT = payment("t1", device_id="d1", user_id="u1")
WITHOUT_DEVICE = payment("t2")


class Scene:
    """A log and a store whose clock moves when told."""

    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.store = MemoryStore(self.clock)
        self.bus = MemoryBus(partitions=2)
        self.bus.create_topics(TOPICS)

    def lists(self, store: Store | None = None) -> ListsInForce:
        return ListsInForce(self.bus, store or self.store, self.clock)

    def announce(self, *events: ListEvent) -> None:
        for event in events:
            announce(self.bus, event)

    def matched(self, lists: Lists, of: Transaction = PAYMENT) -> list[str]:
        values = self.store.append_and_read([], lists.keys(of), expire_after=timedelta())
        return lists.matched(of, values)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def service(lists: ListsInForce) -> Service:
    return Service(name="test", app=FastAPI(), workers=(lists,))


def ready(lists: ListsInForce) -> None:
    wait_until(lambda: lists.problem() is None, "ready")


def test_while_lists_are_empty_nothing_is_read(scene: Scene) -> None:
    lists = scene.lists()
    assert lists.problem() is not None
    with running(service(lists)):
        ready(lists)
        assert lists.current().keys(PAYMENT) == []
        assert lists.current().matched(PAYMENT, []) == []


def test_entries_match_by_every_entity_and_only_what_has_entries_is_read(scene: Scene) -> None:
    scene.announce(
        list_event("block", "card", "card-1"),
        list_event("allow", "card", "card-1"),
        list_event("block", "merchant", "merchant-2"),
        list_event("block", "user", "u1"),
    )
    lists = scene.lists()
    with running(service(lists)):
        ready(lists)
        current = lists.current()
        assert current.keys(PAYMENT) == [
            f"headrace:list:{key}" for key in ("card:card-1", "merchant:merchant-1", "user:u1")
        ]
        assert scene.matched(current) == ["allow:card", "block:card", "block:user"]
        assert scene.matched(current, WITHOUT_DEVICE) == ["allow:card", "block:card"]


def test_a_change_takes_effect_while_running(scene: Scene) -> None:
    lists = scene.lists()
    with running(service(lists)):
        ready(lists)
        scene.announce(list_event("block", "device", "d1"))
        wait_until(lambda: scene.matched(lists.current()) == ["block:device"], "blocked")
        scene.announce(list_event("block", "device", "d1", action="removed"))
        wait_until(lambda: lists.current().keys(PAYMENT) == [], "free")
    assert list(scene.store.keys("headrace:list:")) == []


def test_an_entry_ends_when_its_time_has_come(scene: Scene) -> None:
    scene.announce(
        list_event("block", "card", "card-1", expires_at=START + DAY),
        list_event("allow", "card", "card-1", expires_at=START + 2 * DAY),
        list_event("block", "device", "d1", expires_at=START - DAY),
    )
    lists = scene.lists()
    with running(service(lists)):
        ready(lists)
        assert lists.current().entities == {"card"}
        assert scene.matched(lists.current()) == ["allow:card", "block:card"]
        scene.clock.advance(DAY)
        assert scene.matched(lists.current()) == ["allow:card"]
        scene.clock.advance(DAY)
        assert scene.matched(lists.current()) == []
        assert list(scene.store.keys("headrace:list:")) == []


def test_an_entry_that_outlives_its_time_in_the_store_does_not_match() -> None:
    clock = ManualClock(START)
    lists = Lists({"card"}, clock)
    value = f"block@{int(START.timestamp() * 1000) + 1}".encode()
    assert lists.matched(PAYMENT, [value]) == ["block:card"]
    clock.advance(timedelta(milliseconds=1))
    assert lists.matched(PAYMENT, [value]) == []


def test_a_restart_writes_what_changed_meanwhile(scene: Scene) -> None:
    scene.announce(list_event("block", "card", "card-1"), list_event("block", "device", "d1"))
    with running(service(first := scene.lists())):
        ready(first)
    scene.announce(list_event("block", "card", "card-1", action="removed"), list_event("allow", "user", "u1"))
    with running(service(second := scene.lists())):
        ready(second)
        assert scene.matched(second.current()) == ["block:device", "allow:user"]


def test_a_store_that_was_emptied_is_filled_again(scene: Scene) -> None:
    scene.announce(list_event("block", "card", "card-1"))
    lists = scene.lists()
    with running(service(lists)):
        ready(lists)
        for key in list(scene.store.keys("headrace:list")):
            scene.store.put(key, b"", expire_after=None)
        wait_until(lambda: scene.matched(lists.current()) == ["block:card"], "blocked again")


class AwayStore(MemoryStore):
    """A store that takes no writes for a while."""

    away = True

    def put(self, key: str, value: bytes, *, expire_after: timedelta | None) -> None:
        if self.away:
            raise StoreUnavailableError("away")
        super().put(key, value, expire_after=expire_after)


def test_while_the_store_is_away_nothing_is_lost(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.scoring.policy.lists_in_force._RETRY_SECONDS", 0.01)
    scene.store = store = AwayStore(scene.clock)
    scene.announce(list_event("block", "card", "card-1"))
    lists = scene.lists()
    with running(service(lists)):
        scene.announce(list_event("block", "device", "d1"))
        store.away = False
        ready(lists)
        wait_until(lambda: scene.matched(lists.current()) == ["block:card", "block:device"], "both")


def test_a_record_that_cannot_be_read_is_passed_over(scene: Scene) -> None:
    scene.bus.publisher().send(Outgoing(LISTS.name, b"card-1", b"noise")).result()
    scene.announce(list_event("block", "card", "card-1"))
    lists = scene.lists()
    with running(service(lists)):
        ready(lists)
        assert scene.matched(lists.current()) == ["block:card"]


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["allow", "block"]),
        st.sampled_from(["card", "device"]),
        st.sampled_from(["a", "b"]),
        st.sampled_from(["added", "removed"]),
        st.sampled_from([None, -1, 1, 2]),
    ),
    max_size=30,
)


@given(CHANGES)
def test_what_stands_is_what_the_latest_event_about_it_says(
    changes: list[tuple[Any, Any, Any, Any, int | None]],
) -> None:
    entries = Entries()
    latest: dict[tuple[str, str, str], tuple[str, int | None]] = {}
    for name, entity, value, action, days in changes:
        expires_at = None if days is None else START + days * DAY
        entries.apply(list_event(name, entity, value, action=action, expires_at=expires_at))
        latest[name, entity, value] = (action, days)
    expected = {key for key, (action, days) in latest.items() if action == "added" and days != -1}
    standing = entries.standing(START)
    assert {(event.list_name, event.entity, event.value) for event in standing} == expected
    assert len(standing) == len(expected)
    assert entries.entities(START) == {entity for _, entity, _ in expected}


@pytest.mark.servers
def test_entries_stand_in_a_real_server_until_they_end(redis_url: str) -> None:
    clock = SystemClock()
    store, bus = open_store(redis_url, timeout_seconds=5), MemoryBus(partitions=2)
    bus.create_topics(TOPICS)
    card = f"card-{uuid.uuid4().hex}"
    of = payment("t1", card_id=card)
    announce(bus, list_event("block", "card", card, expires_at=clock.now() + DAY))
    lists = ListsInForce(bus, store, clock)

    def matched() -> list[str]:
        current = lists.current()
        return current.matched(of, store.append_and_read([], current.keys(of), expire_after=timedelta()))

    with running(service(lists)):
        ready(lists)
        assert matched() == ["block:card"]
        announce(bus, list_event("block", "card", card, expires_at=clock.now() + timedelta(milliseconds=50)))
        wait_until(lambda: list(store.keys(f"headrace:list:card:{card}")) == [], "ended")
        assert matched() == []
    store.close()
