"""Rejected records: which, why, and which of them were sent back to their topic since.

A dead-letter topic is the ledger of that too. With a record that is sent back, in the same transaction, goes an entry
of the form of a dead letter that names the same place, under the error `redriven` (services/local/redriving.py).
Several services may reject the same record; it is one record all the same.
"""

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import msgspec
from msgspec import Struct

from services.local.errors import PlatformError
from shared.bus.base import Bus, Record
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import DeadLetter
from shared.contracts.fields import TraceId
from shared.contracts.topics import BY_NAME, DEAD_LETTER_SUFFIX, TOPICS, Topic

REDRIVEN = "redriven"
"""The error of an entry that stands for a record sent back."""
READ_TOPICS = tuple(topic for topic in TOPICS if topic.read_by)
"""The topics of which records can be rejected."""
_WAIT_SECONDS = 0.2


class _Traced(Struct):
    """Of an event that may be wrong in every other way."""

    trace_id: TraceId


class Place(NamedTuple):
    """Where a rejected record stands on its topic."""

    partition: int
    offset: int


class Letter(NamedTuple):
    """A dead letter, and the record of the dead-letter topic that it came in."""

    record: Record
    event: DeadLetter

    @property
    def place(self) -> Place:
        """Where the rejected record stands."""
        return Place(self.event.partition, self.event.offset)


class Unreadable(NamedTuple):
    """A record of a dead-letter topic that is no dead letter of its topic, and why."""

    record: Record
    explanation: str


@dataclass(frozen=True)
class Selection:
    """Which dead letters are meant; what is not given does not matter.

    error: why they were rejected. offsets: theirs, on the dead-letter topic. since: rejected then or later.
    """

    error: str | None = None
    offsets: frozenset[int] = frozenset()
    since: datetime | None = None

    def takes(self, letter: Letter) -> bool:
        """Tell whether `letter` is meant."""
        return (
            (self.error is None or letter.event.error == self.error)
            and (not self.offsets or letter.record.offset in self.offsets)
            and (self.since is None or letter.event.occurred_at >= self.since)
        )


class Reason(NamedTuple):
    """The records of one topic that were rejected for one reason, and when the first and the last of them were."""

    error: str
    waiting: int
    redriven: int
    oldest: datetime
    newest: datetime


class Rejections(NamedTuple):
    """What was rejected of one topic.

    reasons: by error; a record that two services rejected for two reasons stands under both.
    waiting: records that were not sent back.
    unreadable: records of the dead-letter topic that are no dead letters.
    """

    topic: Topic
    reasons: tuple[Reason, ...]
    waiting: int
    unreadable: int


class Shown(NamedTuple):
    """A dead letter, and whether its record was sent back."""

    letter: Letter
    is_redriven: bool


def read_topic(name: str) -> Topic:
    """Return the topic of that name, or the one whose dead-letter topic has it.

    Raises:
        PlatformError: there is none, or nobody reads it, so that nothing of it is ever rejected.
    """
    topic = BY_NAME.get(name.removesuffix(DEAD_LETTER_SUFFIX))
    if topic is None or not topic.read_by:
        known = ", ".join(topic.name for topic in READ_TOPICS)
        raise PlatformError(f"no dead letters are kept for {name!r}; choose one of: {known}")
    return topic


def letters(bus: Bus, topics: Sequence[Topic]) -> Iterator[Letter | Unreadable]:
    """Yield what the dead-letter topics of `topics` hold by now, each in its order; raises BusUnavailableError."""
    with contextlib.closing(bus.tail([topic.dead_letter_name for topic in topics], start="oldest")) as tail:
        while not tail.caught_up():
            yield from map(as_letter, tail.poll(wait_seconds=_WAIT_SECONDS))


def as_letter(record: Record) -> Letter | Unreadable:
    """Return what a record of a dead-letter topic holds."""
    try:
        event = codec.decode(DeadLetter, record.value or b"")
    except BadRecordError as error:
        return Unreadable(record, str(error))
    if event.topic + DEAD_LETTER_SUFFIX != record.topic:
        return Unreadable(record, f"it speaks of a record of {event.topic}")
    return Letter(record, event)


def rejections(bus: Bus, topics: Sequence[Topic] = READ_TOPICS) -> list[Rejections]:
    """Return what was rejected of each of `topics`; raises BusUnavailableError."""
    tallies = {topic.dead_letter_name: _Tally() for topic in topics}
    for letter in letters(bus, topics):
        tallies[letter.record.topic].add(letter)
    return [tallies[topic.dead_letter_name].of(topic) for topic in topics]


def waiting_counts(bus: Bus) -> dict[str, int]:
    """Return how many rejected records were not sent back, by topic, those without any included."""
    return {found.topic.name: found.waiting for found in rejections(bus)}


def newest_letters(bus: Bus, topic: Topic, selection: Selection, *, count_max: int) -> list[Shown]:
    """Return the newest dead letters of `topic` that are meant, the oldest of them first.

    Raises:
        PlatformError: there is none at an offset that was asked for.
        BusUnavailableError: the log does not answer.
    """
    newest: deque[Letter] = deque(maxlen=max(count_max, len(selection.offsets)))
    redriven: set[Place] = set()
    for letter in letters(bus, [topic]):
        if isinstance(letter, Unreadable):
            continue
        if letter.event.error == REDRIVEN:
            redriven.add(letter.place)
        elif selection.takes(letter):
            newest.append(letter)
    refuse_missing(topic, selection, {letter.record.offset for letter in newest})
    return [Shown(letter, letter.place in redriven) for letter in newest]


def trace_of(letter: Letter) -> str:
    """Return the trace that the rejected record tells it belongs to; that of its dead letter where it does not."""
    try:
        traced = msgspec.json.decode(letter.event.value or b"", type=_Traced)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return letter.event.trace_id
    return traced.trace_id


def refuse_missing(topic: Topic, selection: Selection, found: set[int]) -> None:
    """Raise PlatformError where an offset that was asked for is not among those `found`."""
    if missing := selection.offsets - found:
        places = ", ".join(map(str, sorted(missing)))
        raise PlatformError(f"no such dead letter at {places} of {topic.dead_letter_name}: see `headrace dlq show`")


@dataclass
class _Seen:
    """The records that were rejected for one reason."""

    oldest: datetime
    newest: datetime
    places: set[Place] = field(default_factory=set)

    def reason(self, error: str, redriven: set[Place]) -> Reason:
        waiting = len(self.places - redriven)
        return Reason(error, waiting, len(self.places) - waiting, self.oldest, self.newest)


class _Tally:
    """Counts the dead letters of one topic."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._redriven: set[Place] = set()
        self._unreadable = 0

    def add(self, letter: Letter | Unreadable) -> None:
        if isinstance(letter, Unreadable):
            self._unreadable += 1
            return
        event = letter.event
        if event.error == REDRIVEN:
            self._redriven.add(letter.place)
            return
        seen = self._seen.setdefault(event.error, _Seen(event.occurred_at, event.occurred_at))
        seen.places.add(letter.place)
        seen.oldest = min(seen.oldest, event.occurred_at)
        seen.newest = max(seen.newest, event.occurred_at)

    def of(self, topic: Topic) -> Rejections:
        reasons = tuple(seen.reason(error, self._redriven) for error, seen in sorted(self._seen.items()))
        rejected = set[Place]().union(*(seen.places for seen in self._seen.values()))
        return Rejections(topic, reasons, len(rejected - self._redriven), self._unreadable)
