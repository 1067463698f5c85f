"""Keeps in memory what the latest days of some topics come to; every replica folds them for itself."""

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta

from shared.bus.base import Bus, BusUnavailableError, Record, Tail
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import Event
from shared.contracts.topics import BY_NAME, TOPICS, Topic
from shared.runtime.clock import Clock

log = logging.getLogger(__name__)

PUBLISH_SECONDS = 1.0
"""At most so often does what was read begin to count."""
IDLE_SECONDS = 30.0
"""At least so often, since time alone changes what is recent."""

READ_AGAIN_SECONDS = 60.0
"""At least so long after it began does a follower begin again of its own accord."""

_POLL_SECONDS = 0.2
_REST_SECONDS = 0.5
"""Between two polls once it has caught up: few large reads leave the interpreter to those who wait for answers."""
_RETRY_SECONDS = 1.0


class Follower(ABC):
    """A worker that reads topics from some days ago, and on; ready once it has read what was there when it began."""

    name: str

    def __init__(
        self, bus: Bus, topics: Sequence[Topic], clock: Clock, *, reads_back: timedelta, in_order: bool
    ) -> None:
        """Wire it.

        reads_back: how long ago the first record it reads was produced, at most. in_order: see Bus.tail.
        """
        self._bus = bus
        self._topic_names = [topic.name for topic in topics]
        self._clock = clock
        self._reads_back = reads_back
        self._in_order = in_order
        self._caught_up = False
        self._published_seconds: float | None = None
        self._is_changed = False

    @abstractmethod
    def begin(self) -> None:
        """Forget what was taken: it comes again, from the beginning. What was published still counts."""

    @abstractmethod
    def take(self, events: Sequence[Event]) -> None:
        """Fold in what was read."""

    @abstractmethod
    def publish(self) -> None:
        """Let everything taken so far count for readers in other threads."""

    def concerns(self, record: Record) -> bool:
        """Tell whether a record may hold something to take; what surely does not is not even decoded."""
        del record
        return True

    def is_flawed(self) -> bool:
        """Tell whether what was taken is not what it should be, and would be if it were read again now."""
        return False

    def problem(self) -> str | None:
        return None if self._caught_up else f"{' and '.join(self._topic_names)} have not been read yet"

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._follow(stop)
            except BusUnavailableError as error:
                log.warning("%s waits: %s", self.name, error)
                stop.wait(_RETRY_SECONDS)

    def _follow(self, stop: threading.Event) -> None:
        self._bus.create_topics(TOPICS)
        self.begin()
        self._published_seconds = None
        began_seconds = self._clock.monotonic_seconds()
        start = self._clock.now() - self._reads_back
        tail = self._bus.tail(self._topic_names, start=start, in_order=self._in_order)
        try:
            while not stop.is_set():
                self._read_on(tail)
                if self._caught_up:
                    stop.wait(_REST_SECONDS)
                has_rested = self._clock.monotonic_seconds() - began_seconds >= READ_AGAIN_SECONDS
                if has_rested and self._published_seconds is not None and self.is_flawed():
                    log.info("%s is read again from the beginning", self.name)
                    break
        finally:
            tail.close()

    def _read_on(self, tail: Tail) -> None:
        records = tail.poll(wait_seconds=_POLL_SECONDS)
        if records:
            self.take(list(_readable(filter(self.concerns, records))))
            self._is_changed = True
        if tail.caught_up() and self._is_due():
            self.publish()
            self._published_seconds, self._is_changed = self._clock.monotonic_seconds(), False
            self._caught_up = True

    def _is_due(self) -> bool:
        if self._published_seconds is None:
            return True
        waited_seconds = self._clock.monotonic_seconds() - self._published_seconds
        return waited_seconds >= (PUBLISH_SECONDS if self._is_changed else IDLE_SECONDS)


def _readable(records: Iterable[Record]) -> Iterator[Event]:
    for record in records:
        try:
            yield codec.decode_record(BY_NAME[record.topic], record.key, record.value)
        except BadRecordError:
            continue  # whoever reads the topic in a group sends it to the dead-letter topic
