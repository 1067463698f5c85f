"""The hash chain of the `models` topic: each record names the SHA-256 of the one before it.

Whoever holds one later record can therefore tell whether any earlier one was changed, removed or slipped in.
"""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import ModelEvent


class BrokenLink(NamedTuple):
    """The first record whose link does not hold.

    position: 0 for the first record of the topic.
    """

    position: int
    explanation: str


def link(value: bytes) -> str:
    """Return what the next record must carry as `previous_digest`."""
    return hashlib.sha256(value).hexdigest()


def first_broken_link(values: Iterable[bytes | None]) -> BrokenLink | None:
    """Check a whole chain, oldest record first; return None when it holds.

    values: the records' values, as read from the topic.
    """
    expected: str | None = None
    for position, value in enumerate(values):
        if value is None:
            return BrokenLink(position, "the record is empty")
        try:
            event = codec.decode(ModelEvent, value)
        except BadRecordError as error:
            return BrokenLink(position, f"the record is no ModelEvent: {error}")
        if event.previous_digest != expected:
            return BrokenLink(
                position,
                f"event {event.event_id} follows {event.previous_digest}, but the record before it is {expected}: "
                "one of the two was changed, removed or added",
            )
        expected = link(value)
    return None
