"""The catalogue in memory, and the worker that follows the `items` topic to keep it so."""

import gc
import logging
import threading
import time
import weakref
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice
from typing import Protocol

from services.scoring.recommendations.asked import Condition
from services.scoring.recommendations.conditions import CATEGORY, meets
from shared.bus.base import Bus, BusUnavailableError, Record
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.shopping import Item
from shared.contracts.topics import ITEMS, TOPICS
from shared.runtime import metrics
from shared.runtime.logs import fields

log = logging.getLogger(__name__)

ITEMS_AT_ONCE = 64
"""After so many items a thread that takes in or lays out very many lets others run, so that no answer waits for it."""
_POLL_SECONDS = 0.2
_RETRY_SECONDS = 1.0


class Listener(Protocol):
    """Somebody who keeps something about items."""

    def changed(self, item_id: str) -> None:
        """Take note that the catalogue's entry of an item is another now; called on the follower's thread."""
        ...


class Catalogue:
    """Every item that the shop offers, as its newest record says; read from any thread.

    An item of which it knows nothing may be shown: that somebody looked at it proves that it exists.
    """

    name = "catalogue"

    def __init__(self, bus: Bus, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Remember where the log is; `run` reads it. sleep: takes seconds; called with 0 to let other threads run."""
        self._bus = bus
        self._sleep = sleep
        self._items: dict[str, Item] = {}
        self._deleted: set[str] = set()
        self._ids: list[str] = []
        self._lock = threading.Lock()
        self._listeners: weakref.WeakSet[Listener] = weakref.WeakSet()
        self._applied: dict[int, int] = {}
        self._caught_up = False

    def item(self, item_id: str) -> Item | None:
        """Return an item's entry; None where there is none, or it was deleted."""
        return self._items.get(item_id)

    def is_deleted(self, item_id: str) -> bool:
        """Tell whether an item had an entry that was deleted."""
        return item_id in self._deleted

    def is_shown(self, item_id: str, now: datetime, category: str | None, conditions: Sequence[Condition]) -> bool:
        """Tell whether an item may be shown and is what is asked for; of many items a Shelf tells it faster."""
        if item_id in self._deleted:
            return False
        item = self._items.get(item_id)
        if item is not None and not _is_offered(item, now):
            return False
        if category is not None and not meets(Condition(attribute=CATEGORY, any_of=[category]), item, item_id):
            return False
        return all(meets(condition, item, item_id) for condition in conditions)

    def size(self) -> int:
        """Return how many items have an entry."""
        return len(self._items)

    def page(self, *, after: str, n: int) -> list[Item]:
        """Return the first `n` items whose ids come behind `after`, in the order of ids; "" comes before all."""
        with self._lock:
            # In order only once it is caught up: sorting then takes less than keeping in order what nobody reads yet.
            ids = self._ids if self._caught_up else sorted(self._items)
            start = bisect_right(ids, after)
            return [self._items[item_id] for item_id in ids[start : start + n]]

    def latest(self, n: int) -> list[str]:
        """Return the ids of the `n` items that came into the catalogue last, the last first."""
        with self._lock:
            return list(islice(reversed(self._items), n))

    def tell(self, listener: Listener) -> None:
        """From now on, and as long as somebody else refers to it, tell `listener` of every change."""
        with self._lock:
            self._listeners.add(listener)

    def apply(self, item: Item) -> None:
        """Take over what an item is from now on; called on one thread."""
        with self._lock:
            was_there = item.item_id in self._items
            if item.is_deleted:
                self._deleted.add(item.item_id)
                self._items.pop(item.item_id, None)
            else:
                self._items[item.item_id] = item
                self._deleted.discard(item.item_id)
            if self._caught_up and was_there == item.is_deleted:
                self._move(item.item_id, is_leaving=was_there)
            listeners = list(self._listeners)
        for listener in listeners:
            listener.changed(item.item_id)

    def problem(self) -> str | None:
        return None if self._caught_up else "the items topic has not been read yet"

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._follow(stop)
            except BusUnavailableError as error:
                log.warning("the catalogue waits: %s", error)
                stop.wait(_RETRY_SECONDS)

    def _follow(self, stop: threading.Event) -> None:
        self._bus.create_topics(TOPICS)
        tail = self._bus.tail([ITEMS.name], start="oldest")
        try:
            while not stop.is_set():
                for at, record in enumerate(tail.poll(wait_seconds=_POLL_SECONDS), start=1):
                    self._note(record)
                    if at % ITEMS_AT_ONCE == 0:
                        self._sleep(0)
                if not self._caught_up and tail.caught_up():
                    self._open()
        finally:
            tail.close()

    def _open(self) -> None:
        self._ids = sorted(self._items)
        metrics.CATALOGUE_ITEMS.set(len(self._items))
        # A full collection goes through all of them and finds nothing: 100 ms without an answer at 100,000 items.
        gc.freeze()
        self._caught_up = True

    def _note(self, record: Record) -> None:
        # A tail that is opened again begins at the oldest record; what it brings again must not undo what came since.
        if record.offset <= self._applied.get(record.partition, -1):
            return
        self._applied[record.partition] = record.offset
        try:
            item = codec.decode_record(ITEMS, record.key, record.value)
        except BadRecordError as error:
            metrics.DEAD_LETTERS.labels("scoring", ITEMS.name, error.error).inc()
            log.error("a record on items was ignored: %s", error, **fields(offset=record.offset))  # noqa: TRY400
            return
        assert isinstance(item, Item)  # noqa: S101 - the topic's type
        self.apply(item)

    def _move(self, item_id: str, *, is_leaving: bool) -> None:
        if is_leaving:
            del self._ids[bisect_left(self._ids, item_id)]
        else:
            insort(self._ids, item_id)
        metrics.CATALOGUE_ITEMS.set(len(self._items))


def _is_offered(item: Item, now: datetime) -> bool:
    """Tell whether an item is available now."""
    return (
        item.is_available
        and (item.available_from is None or item.available_from <= now)
        and (item.expires_at is None or now < item.expires_at)
    )
