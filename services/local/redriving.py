"""Sending rejected records back to their topic, once what made them unreadable is mended.

A record and the entry that says that it was sent back are written in one transaction, by the dead-letter topic's sole
writer, who has read that topic to its end before. So a record goes back once, however often this is asked for, by
however many at once, and wherever it is killed.
"""

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from services.local.dead_letters import (
    REDRIVEN,
    Letter,
    Place,
    Selection,
    Unreadable,
    letters,
    refuse_missing,
)
from services.local.errors import PlatformError
from shared.bus.base import HEADERS_BYTES_MAX, RECORD_BYTES_MAX, Bus, FencedError, Outgoing, headers_bytes
from shared.contracts import codec
from shared.contracts.events import DeadLetter
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import Topic
from shared.runtime.clock import Clock

_SERVICE = "cli"
_TRANSACTION_RECORDS_MAX = 200
_TRANSACTION_BYTES_MAX = 4_000_000
# What a topic takes, less the headers, and what surrounds a record in its batch.
_CONTENT_BYTES_MAX = 2 * RECORD_BYTES_MAX - HEADERS_BYTES_MAX - 1_000
_VERDICT_POLL_SECONDS = 0.5


class Refusal(NamedTuple):
    """A dead letter whose record cannot be sent back, by its offset on the dead-letter topic, and why."""

    offset: int
    explanation: str


class Plan(NamedTuple):
    """What a selection comes to.

    offsets: of the dead letters whose records are to be sent back, one for each record, in the order of rejection.
    redriven_before: records that are meant and were sent back already.
    """

    offsets: tuple[int, ...]
    refused: tuple[Refusal, ...]
    redriven_before: int


class Redriven(NamedTuple):
    """What was sent back.

    contents: digests of what was sent. end_offset: what is rejected from now on stands there or later.
    """

    sent: int
    refused: tuple[Refusal, ...]
    redriven_before: int
    contents: frozenset[bytes]
    end_offset: int


class Verdict(NamedTuple):
    """What became of what was sent back.

    rejected_again: records, by error. is_final: every group that reads the topic has come past all of them.
    """

    rejected_again: Mapping[str, int]
    is_final: bool


class Patience(NamedTuple):
    """Whose verdict is waited for, and for how long at most; `sleep` takes seconds."""

    groups: Sequence[str]
    seconds_max: float
    clock: Clock
    sleep: Callable[[float], None]


def plan(bus: Bus, topic: Topic, selection: Selection) -> Plan:
    """Return what `redrive` would send back now.

    Raises:
        PlatformError: there is no dead letter at an offset that was asked for, or `topic` takes nothing twice.
        BusUnavailableError: the log does not answer.
    """
    _refuse_chained(topic)
    return _found(bus, topic, selection).plan()


def redrive(bus: Bus, topic: Topic, selection: Selection, *, actor: str, clock: Clock) -> Redriven:
    """Send the rejected records that are meant back to `topic`: key and value as they were, headers as they were kept.

    They go in the order in which they were rejected, which is that of the log for what one service rejects of a
    partition. What is rejected again is a dead letter of its own, and nobody sends it back but who asks for it.

    actor: who asked for it; kept with each record that is sent.

    Raises:
        PlatformError: as `plan`; or somebody else sends dead letters of `topic` back at the same time.
        BusUnavailableError: the log does not answer; what was sent is known to whoever asks again.
    """
    _refuse_chained(topic)
    contents: set[bytes] = set()
    sent = 0
    try:
        with contextlib.closing(bus.sole_writer(topic.dead_letter_name)) as writer:
            found = _found(bus, topic, selection)
            planned = found.plan()
            for batch in _batches(bus, topic, frozenset(planned.offsets)):
                now = clock.now()
                writer.write([outgoing for letter in batch for outgoing in _sent_back(letter, topic, actor, now)])
                contents.update(_content(letter.event) for letter in batch)
                sent += len(batch)
    except FencedError as error:
        raise PlatformError(
            f"somebody else began to send dead letters of {topic.name} back after {sent} were sent here; try again"
        ) from error
    return Redriven(sent, planned.refused, planned.redriven_before, frozenset(contents), found.end_offset)


def verdict(bus: Bus, topic: Topic, redriven: Redriven, patience: Patience) -> Verdict:
    """Wait until the groups that read `topic` have read what was sent back; raises BusUnavailableError."""
    deadline = patience.clock.monotonic_seconds() + patience.seconds_max
    # Asked before the dead letters are read: what a group has come past has its dead letter on the log.
    while not (is_read := _all_read(bus, topic, patience.groups)) and patience.clock.monotonic_seconds() < deadline:
        patience.sleep(_VERDICT_POLL_SECONDS)
    rejected = {
        letter.place: letter.event.error
        for letter in letters(bus, [topic])
        if isinstance(letter, Letter)
        and letter.event.error != REDRIVEN
        and letter.record.offset >= redriven.end_offset
        and _content(letter.event) in redriven.contents
    }
    return Verdict(Counter(rejected.values()), is_read)


class _Found:
    """Dead letters that are meant, and what was sent back before."""

    def __init__(self) -> None:
        self.end_offset = 0
        self._chosen: dict[Place, tuple[int, str | None]] = {}
        self._offsets: set[int] = set()
        self._redriven: set[Place] = set()

    def add(self, letter: Letter | Unreadable, selection: Selection) -> None:
        self.end_offset = letter.record.offset + 1
        if isinstance(letter, Unreadable):
            return
        if letter.event.error == REDRIVEN:
            self._redriven.add(letter.place)
        elif selection.takes(letter):
            self._offsets.add(letter.record.offset)
            self._chosen.setdefault(letter.place, (letter.record.offset, _complaint(letter)))

    def refuse_missing(self, topic: Topic, selection: Selection) -> None:
        refuse_missing(topic, selection, self._offsets)

    def plan(self) -> Plan:
        waiting = [choice for place, choice in self._chosen.items() if place not in self._redriven]
        return Plan(
            offsets=tuple(offset for offset, complaint in waiting if complaint is None),
            refused=tuple(Refusal(offset, complaint) for offset, complaint in waiting if complaint is not None),
            redriven_before=len(self._chosen) - len(waiting),
        )


def _found(bus: Bus, topic: Topic, selection: Selection) -> _Found:
    found = _Found()
    for letter in letters(bus, [topic]):
        found.add(letter, selection)
    found.refuse_missing(topic, selection)
    return found


def _refuse_chained(topic: Topic) -> None:
    """Of a hash chain nothing can be written a second time: it would no longer follow what it follows."""
    if "previous_digest" in topic.event.__struct_fields__:
        raise PlatformError(
            f"each record of {topic.name} names the one before it, so none can be sent back; announce it anew instead"
        )


def _complaint(letter: Letter) -> str | None:
    """Return why the record cannot be sent back as it was; None when it can."""
    event = letter.event
    if event.value is None:
        return "it has no value"
    if event.key is None:
        return "it has no key, without which no service reads it"
    if event.value_bytes_total > len(event.value):
        return f"only {len(event.value)} of its {event.value_bytes_total} bytes were kept"
    # A dead letter travels under its record's key, unless that is longer than is kept of it.
    if event.key and event.key != letter.record.key:
        return f"only {len(event.key)} bytes of its key were kept"
    return _complaint_of_size(len(event.key) + len(event.value), headers_bytes(letter.record.headers))


def _complaint_of_size(content_bytes: int, of_headers_bytes: int) -> str | None:
    if content_bytes > _CONTENT_BYTES_MAX:
        return f"its key and value have {content_bytes} bytes; {_CONTENT_BYTES_MAX} can be sent"
    if of_headers_bytes > HEADERS_BYTES_MAX:
        return f"its headers have {of_headers_bytes} bytes; {HEADERS_BYTES_MAX} can be sent"
    return None


def _batches(bus: Bus, topic: Topic, offsets: frozenset[int]) -> Iterator[list[Letter]]:
    """Yield the dead letters at `offsets`, as many at once as go into one transaction."""
    batch: list[Letter] = []
    size_bytes = 0
    for letter in letters(bus, [topic]):
        if isinstance(letter, Unreadable) or letter.record.offset not in offsets:
            continue
        letter_bytes = len(letter.event.value or b"") + len(letter.event.key or b"")
        if batch and (len(batch) == _TRANSACTION_RECORDS_MAX or size_bytes + letter_bytes > _TRANSACTION_BYTES_MAX):
            yield batch
            batch, size_bytes = [], 0
        batch.append(letter)
        size_bytes += letter_bytes
    if batch:
        yield batch


def _sent_back(letter: Letter, topic: Topic, actor: str, now: datetime) -> tuple[Outgoing, Outgoing]:
    """Return the record as it was, and the entry that it was sent back."""
    event = letter.event
    entry = DeadLetter(
        event_id=derived_event_id(now, REDRIVEN, topic.name, str(event.partition), str(event.offset)),
        occurred_at=now,
        trace_id=event.trace_id,
        service=_SERVICE,
        topic=topic.name,
        partition=event.partition,
        offset=event.offset,
        key=None,
        value=None,
        value_bytes_total=0,
        error=REDRIVEN,
        explanation=f"sent back to {topic.name} by {actor}",
    )
    record = Outgoing(topic.name, event.key or b"", event.value or b"", headers=letter.record.headers)
    return record, Outgoing(topic.dead_letter_name, letter.record.key or b"", codec.encode(entry))


def _all_read(bus: Bus, topic: Topic, groups: Sequence[str]) -> bool:
    return bool(groups) and not any(sum(bus.group_lag(group, [topic.name]).values()) for group in groups)


def _content(event: DeadLetter) -> bytes:
    """Return a digest of the record's key and value."""
    key = event.key or b""
    return hashlib.blake2b(b"%d:%b%b" % (len(key), key, event.value or b""), digest_size=16).digest()
