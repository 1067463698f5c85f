"""The worker that follows the `lists` topic, and keeps the entries in the store as they stand there."""

import logging
import threading
from datetime import timedelta
from itertools import islice

from services.scoring.policy.lists import Entries, Lists, Place, lifetime, list_key, packed
from shared.bus.base import Bus, BusUnavailableError, Record
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import ListEvent
from shared.contracts.topics import LISTS, TOPICS
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.logs import fields
from shared.store.base import Store, StoreUnavailableError

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.2
_RETRY_SECONDS = 1.0
_AT_ONCE = 1_000
_MARK = "headrace:lists"
"""Present in the store as long as what was written there is."""


class ListsInForce:
    """Folds `lists` in memory up to its end, writes what the store lacks, and then each change as it comes.

    The store is a view: should it be emptied, every entry is written again.
    """

    name = "lists"

    def __init__(self, bus: Bus, store: Store, clock: Clock) -> None:
        self._bus = bus
        self._store = store
        self._clock = clock
        self._current = Lists()
        self._entries = Entries()
        self._unwritten: dict[Place, None] = {}
        self._caught_up = False

    def current(self) -> Lists:
        """Return what is known of the lists now; the same object until that changes."""
        return self._current

    def problem(self) -> str | None:
        return None if self._caught_up else "the lists topic has not been read yet"

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._follow(stop)
            except BusUnavailableError as error:
                log.warning("lists wait: %s", error)
                stop.wait(_RETRY_SECONDS)

    def _follow(self, stop: threading.Event) -> None:
        self._bus.create_topics(TOPICS)
        # What is not written yet stays to be written, as the entries are once they are folded again.
        self._entries = Entries()
        tail = self._bus.tail([LISTS.name], start="oldest")
        try:
            while not stop.is_set():
                for record in tail.poll(wait_seconds=_POLL_SECONDS):
                    self._note(record)
                if tail.caught_up():
                    self._write(stop)
        finally:
            tail.close()

    def _note(self, record: Record) -> None:
        try:
            event = codec.decode_record(LISTS, record.key, record.value)
        except BadRecordError as error:
            metrics.DEAD_LETTERS.labels("scoring", LISTS.name, error.error).inc()
            log.error("a record on lists was ignored: %s", error, **fields(offset=record.offset))  # noqa: TRY400
            return
        if isinstance(event, ListEvent):
            self._unwritten[self._entries.apply(event)] = None

    def _write(self, stop: threading.Event) -> None:
        """Bring the store up to what was read, and let it count."""
        try:
            places = self._entries.places()
            if places and not self._read([_MARK])[0]:
                self._unwritten |= dict.fromkeys(places)
            if self._caught_up and not self._unwritten:
                return
            while self._unwritten:
                self._write_some()
            self._store.put(_MARK, b"1", expire_after=None)
        except StoreUnavailableError as error:
            log.warning("%d entries of lists wait for the store: %s", len(self._unwritten), error)
            stop.wait(_RETRY_SECONDS)
            return
        entities = self._entries.entities(self._clock.now())
        if entities != self._current.entities:
            self._current = Lists(entities, self._clock)
        self._caught_up = True

    def _write_some(self) -> None:
        places, now = list(islice(self._unwritten, _AT_ONCE)), self._clock.now()
        keys = [list_key(*place) for place in places]
        for place, key, present in zip(places, keys, self._read(keys), strict=True):
            entries = self._entries.at(place, now)
            wanted = packed(entries)
            if wanted != present:
                self._store.put(key, wanted, expire_after=lifetime(entries, now))
            del self._unwritten[place]

    def _read(self, keys: list[str]) -> list[bytes]:
        return self._store.append_and_read([], keys, expire_after=timedelta())
