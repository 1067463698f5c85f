"""Interactions and users for tests, and how a handler is fed with them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from services.features.interactions import InteractionsHandler
from shared.bus.base import Record
from shared.contracts.events import Event
from shared.contracts.ids import derived_event_id
from shared.contracts.shopping import Interaction, User
from shared.recommendation.history import history_key
from shared.runtime.clock import SystemClock
from shared.runtime.loop import Delivery
from shared.store.memory import MemoryStore
from tests.events import START, TRACE_ID

KEPT_FOR = timedelta(days=180)


def interaction(item_id: str, *, after: timedelta = timedelta(), **said: Any) -> Interaction:
    """Return what shopper u1 did with an item; said: fields that matter."""
    occurred_at = START + after
    defaults: dict[str, Any] = {
        "occurred_at": occurred_at,
        "event_id": derived_event_id(occurred_at, "interactions", item_id, *map(str, said.values())),
        "trace_id": TRACE_ID,
        "user_id": "u1",
        "item_id": item_id,
        "kind": "view",
    }
    return Interaction(**(defaults | said))


def user(user_id: str = "u1", *, after: timedelta = timedelta(), **said: Any) -> User:
    """Return a shopper; said: fields that matter."""
    occurred_at = START + after
    event_id = derived_event_id(occurred_at, "users", user_id)
    return User(event_id=event_id, occurred_at=occurred_at, trace_id=TRACE_ID, user_id=user_id, **said)


def feed(handler: InteractionsHandler, *events: Event) -> None:
    """Give a handler one batch."""
    assert list(handler([Delivery(Record("", 0, 0, b"", b"", 0), event) for event in events])) == []


def stored(store: MemoryStore, user_id: str = "u1") -> bytes:
    (value,) = store.append_and_read([], [history_key(user_id)], expire_after=KEPT_FOR)
    return value


def fed(*batches: Sequence[Event]) -> MemoryStore:
    """Return the store of a handler that got these batches."""
    store = MemoryStore(SystemClock())
    handler = InteractionsHandler(store, kept_for=KEPT_FOR)
    for batch in batches:
        feed(handler, *batch)
    return store
