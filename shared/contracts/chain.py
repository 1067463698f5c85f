"""The hash chain of a topic: each record names the SHA-256 of the one before it.

Whoever holds one later record can therefore tell whether any earlier one was changed, removed or slipped in. What was
cut off at the end, or added there by somebody who read the last record, shows only to who has kept a later digest.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import ModelEvent, PolicyEvent

E = TypeVar("E", ModelEvent, PolicyEvent)


class BrokenLink(NamedTuple):
    """The first record whose link does not hold.

    position: 0 for the first record of the topic.
    """

    position: int
    explanation: str


class ChainAudit(NamedTuple):
    """What the records of a chained topic show.

    head: digest of the last record; None when there is none. behind_head: how many records follow the head that was
    asked for; None when it is not there, or none was asked for. problems: everything that is wrong, each in a sentence.
    """

    head: str | None
    behind_head: int | None
    problems: tuple[str, ...]


def link(value: bytes) -> str:
    """Return what the next record must carry as `previous_digest`."""
    return hashlib.sha256(value).hexdigest()


def first_broken_link(values: Iterable[bytes | None], event_type: type[E]) -> BrokenLink | None:
    """Check a whole chain, oldest record first; return None when it holds.

    values: the records' values, as read from the topic.
    """
    expected: str | None = None
    for position, value in enumerate(values):
        if value is None:
            return BrokenLink(position, "the record is empty")
        try:
            event = codec.decode(event_type, value)
        except BadRecordError as error:
            return BrokenLink(position, f"the record is no {event_type.__name__}: {error}")
        if event.previous_digest != expected:
            return BrokenLink(
                position,
                f"event {event.event_id} follows {event.previous_digest}, but the record before it is {expected}: "
                "one of the two was changed, removed or added",
            )
        expected = link(value)
    return None


def examined(values: Sequence[bytes | None], event_type: type[E], *, earlier_head: str | None = None) -> ChainAudit:
    """Check a whole chain.

    values: of all records, oldest first. earlier_head: a digest noted at an earlier audit, to prove that everything up
    to it is still there.
    """
    digests = [link(value or b"") for value in values]
    problems: list[str] = []
    broken = first_broken_link(values, event_type)
    if broken is not None:
        problems.append(f"record {broken.position}, counted from 0: {broken.explanation}")
    behind_head = len(digests) - 1 - digests.index(earlier_head) if earlier_head in digests else None
    if earlier_head is not None and behind_head is None:
        problems.append(f"no record has the digest {earlier_head}: it was cut off, or something up to it was changed")
    return ChainAudit(digests[-1] if digests else None, behind_head, tuple(problems))


def readable(values: Iterable[bytes | None], event_type: type[E]) -> Iterator[E]:
    """Yield the events that can be read; a record that cannot breaks the chain, and `examined` tells of it."""
    for value in values:
        try:
            yield codec.decode(event_type, value or b"")
        except BadRecordError:
            continue
