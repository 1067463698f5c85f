"""Histories and profiles in the store: the same in whatever order, parts and copies interactions come, and bounded."""

import random
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.features.interactions import InteractionsHandler
from shared.contracts import codec
from shared.contracts.events import Event
from shared.contracts.shopping import Interaction
from shared.features.state import identity, microseconds
from shared.recommendation.history import (
    KEPT_ITEMS_MAX,
    KINDS,
    NEWEST_KEPT,
    RECORD_BYTES,
    RECORDS_MAX,
    distrust_key,
    folded,
    history_key,
    history_of,
    packed,
    profile_key,
)
from shared.runtime import metrics
from shared.runtime.clock import ManualClock
from shared.store.memory import MemoryStore
from tests.events import START
from tests.unit.features.shoppers import KEPT_FOR, fed, feed, interaction, stored, user

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


def items_of(store: MemoryStore, user_id: str = "u1") -> list[str]:
    """Return the items of a history, the latest first, as far as they are named i0, i1, ..."""
    names = {identity(f"i{n}"): f"i{n}" for n in range(3_000)}
    return [names[int(record["item"])] for record in history_of(stored(store, user_id))]


def profile(store: MemoryStore, user_id: str = "u1") -> bytes:
    (value,) = store.append_and_read([], [profile_key(user_id)], expire_after=KEPT_FOR)
    return value


def test_each_shopper_has_a_history_of_its_own_the_latest_first() -> None:
    store = fed([interaction("i1"), interaction("i3", user_id="u2"), interaction("i2", after=SECOND, kind="purchase")])
    assert items_of(store) == ["i2", "i1"]
    assert items_of(store, "u2") == ["i3"]
    (latest, _) = history_of(stored(store))
    assert (latest["time"], KINDS[latest["kind"]]) == (microseconds(START + SECOND), "purchase")


def random_events(chance: random.Random) -> list[Interaction]:
    """Return interactions of one shopper with few items and many, at few times and many, some of them twice."""
    items, seconds = chance.choice([5, 600, 2_500]), chance.choice([3, 10**6])
    events = [
        interaction(
            f"i{chance.randrange(items)}",
            after=chance.randrange(seconds) * SECOND,
            kind=chance.choice(KINDS),
            quantity=n + 1,
        )
        for n in range(chance.choice([3, 200, 1_800]))
    ]
    return events + chance.sample(events, len(events) // 4)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_no_order_no_parts_and_no_copies_make_a_difference(seed: int) -> None:
    """Whatever was folded away on the way, folding what is stored gives what folding everything gives."""
    chance = random.Random(seed)
    events = random_events(chance)
    everything = folded(history_of(b"".join(map(packed, events))))
    for _ in range(2):
        chance.shuffle(events)
        batch = chance.choice([7, 500, 5_000])
        store = fed(*(events[at : at + batch] for at in range(0, len(events), batch)))
        assert folded(history_of(stored(store))) == everything
        assert len(stored(store)) <= RECORDS_MAX * RECORD_BYTES


def test_a_short_history_loses_nothing_when_everything_comes_again() -> None:
    events = [interaction(f"i{n}", after=n * SECOND) for n in range(RECORDS_MAX)]
    store = fed(events, events, events)
    assert items_of(store) == [f"i{n}" for n in reversed(range(RECORDS_MAX))]


def test_a_bot_takes_no_more_room_than_others_and_what_was_bought_is_remembered() -> None:
    bought = interaction("i7", kind="purchase")
    views = [interaction(f"i{n % 100}", after=n * SECOND) for n in range(1, 20_001)]
    store = fed([bought], *(views[at : at + 500] for at in range(0, len(views), 500)))
    assert len(stored(store)) <= RECORDS_MAX * RECORD_BYTES
    assert items_of(store)[:NEWEST_KEPT] == [f"i{n % 100}" for n in range(20_000, 20_000 - NEWEST_KEPT, -1)]
    assert KINDS[history_of(stored(store))[-1]["kind"]] == "purchase"
    assert NEWEST_KEPT + KEPT_ITEMS_MAX < RECORDS_MAX


def test_a_purchase_does_not_let_an_earlier_dislike_be_forgotten() -> None:
    disliked = interaction("i7", kind="dislike")
    bought = interaction("i7", after=SECOND, kind="purchase")
    views = [interaction(f"i{n % 100}", after=n * SECOND) for n in range(2, 3_000)]
    kept = history_of(stored(fed([disliked, bought], views)))
    assert {"dislike", "purchase"} <= {KINDS[kind] for kind in kept["kind"]}


def test_a_history_ends_some_time_after_its_last_interaction() -> None:
    clock = ManualClock(START)
    store = MemoryStore(clock)
    handler = InteractionsHandler(store, kept_for=10 * DAY)
    feed(handler, interaction("i1"))
    clock.advance(9 * DAY)
    feed(handler, interaction("i2"))
    clock.advance(9 * DAY)
    assert len(stored(store)) == 2 * RECORD_BYTES
    clock.advance(2 * DAY)
    assert stored(store) == b""


def test_the_newest_event_of_a_shopper_is_the_profile() -> None:
    old, new = user(attributes={"age": 30.0}), user(after=SECOND, attributes={"age": 31.0})
    assert profile(fed([old, user("u2")], [new])) == codec.encode(new)
    assert profile(fed([old, new])) == codec.encode(new)


BEFORE = interaction("i1", kind="purchase")
DELETED = user(after=SECOND, is_deleted=True)
AFTER = interaction("i2", after=2 * SECOND)


@pytest.mark.parametrize(
    "batches",
    [
        [[BEFORE, DELETED, AFTER]],
        [[BEFORE], [DELETED], [AFTER]],
        [[DELETED], [AFTER], [BEFORE]],
        [[BEFORE, AFTER], [DELETED], [BEFORE, AFTER]],
        [[AFTER, DELETED], [BEFORE], [DELETED]],
    ],
)
def test_a_shopper_who_is_deleted_is_forgotten_also_by_what_comes_later(batches: list[list[Event]]) -> None:
    assert items_of(fed([interaction("i3", user_id="u2")], *batches)) == ["i2"]
    assert items_of(fed([interaction("i3", user_id="u2")], *batches), "u2") == ["i3"]


def test_nothing_but_the_deletion_stays_of_a_shopper_and_that_not_for_ever() -> None:
    clock = ManualClock(START)
    store = MemoryStore(clock)
    handler = InteractionsHandler(store, kept_for=KEPT_FOR)
    feed(handler, BEFORE, user(attributes={"name": "Ada"}))
    store.put(distrust_key("u1"), b"0.97", expire_after=None)
    feed(handler, DELETED)
    assert list(store.keys("")) == [profile_key("u1")]
    assert b"Ada" not in profile(store)
    clock.advance(KEPT_FOR)
    assert list(store.keys("")) == []


def test_a_shopper_may_come_back() -> None:
    store = fed([BEFORE], [DELETED], [user(after=2 * SECOND, attributes={"age": 5.0})], [AFTER])
    assert items_of(store) == ["i2"]
    assert b'"age":5' in profile(store)


def test_a_profile_that_cannot_be_read_is_counted_and_keeps_nobody_from_having_a_history() -> None:
    store = fed([])
    store.put(profile_key("u1"), b"no profile", expire_after=None)
    before = metrics.UNREADABLE_PROFILES._value.get()
    feed(InteractionsHandler(store, kept_for=KEPT_FOR), interaction("i1"))
    assert items_of(store) == ["i1"]
    assert metrics.UNREADABLE_PROFILES._value.get() == before + 1


def test_a_batch_takes_one_question_of_the_store() -> None:
    class Counting(MemoryStore):
        questions = 0

        def append_and_read(self, *args: object, **options: object) -> list[bytes]:
            self.questions += 1
            return super().append_and_read(*args, **options)  # type: ignore[arg-type]

    store = Counting(ManualClock(START))
    feed(InteractionsHandler(store, kept_for=KEPT_FOR), *(interaction("i1", user_id=f"u{n}") for n in range(200)))
    assert store.questions == 1
    assert len(list(store.keys(history_key("u1")[:8]))) == 200
