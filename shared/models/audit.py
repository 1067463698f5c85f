"""The hash chain of the `models` topic: each record names the SHA-256 of the one before it.

Whoever holds one later record can therefore tell whether any earlier one was changed, removed or slipped in. What was
cut off at the end, or added there by somebody who read the last record, shows only to who has kept a later digest.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import ModelEvent
from shared.models.packages import ModelIntegrityError, Packages


class BrokenLink(NamedTuple):
    """The first record whose link does not hold.

    position: 0 for the first record of the topic.
    """

    position: int
    explanation: str


class Audit(NamedTuple):
    """What a whole `models` topic shows, beside the files on this machine.

    events: those that could be read. head: digest of the last record; None when there is none.
    behind_head: how many records follow the head that was asked for; None when it is not there, or none was asked for.
    whole, absent: how many registered versions have their files here as announced, and how many do not have them here.
    problems: everything that is wrong, each in a sentence; none when all holds.
    """

    events: tuple[ModelEvent, ...]
    head: str | None
    behind_head: int | None
    whole: int
    absent: int
    problems: tuple[str, ...]


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


def examine(values: Sequence[bytes | None], packages: Packages, *, earlier_head: str | None = None) -> Audit:
    """Check the chain, what its events say about one another, and the files of registered versions.

    values: of all records, oldest first. earlier_head: a digest noted at an earlier audit, to prove that everything up
    to it is still there.
    """
    events = tuple(_readable(values))
    digests = [link(value or b"") for value in values]
    problems: list[str] = []
    broken = first_broken_link(values)
    if broken is not None:
        problems.append(f"record {broken.position}, counted from 0: {broken.explanation}")
    behind_head = len(digests) - 1 - digests.index(earlier_head) if earlier_head in digests else None
    if earlier_head is not None and behind_head is None:
        problems.append(f"no record has the digest {earlier_head}: it was cut off, or something up to it was changed")
    problems += _contradictions(events)
    whole, absent, damaged = _files(events, packages)
    return Audit(events, digests[-1] if digests else None, behind_head, whole, absent, (*problems, *damaged))


def _readable(values: Iterable[bytes | None]) -> Iterator[ModelEvent]:
    for value in values:
        try:
            yield codec.decode(ModelEvent, value or b"")
        except BadRecordError:
            continue  # it breaks the chain, which tells of it


def _contradictions(events: Iterable[ModelEvent]) -> list[str]:
    """Return what is said of versions that were not registered before, or of other bytes than were registered."""
    found: list[str] = []
    registered: dict[tuple[str, int], str | None] = {}
    for event in (event for event in events if event.model_version):
        version = (event.model_name, event.model_version)
        said = f"event {event.event_id}: {event.model_name} {event.model_version} was {event.action}"
        if event.action == "registered" and version not in registered:
            registered[version] = event.model_digest
        elif version not in registered:
            found.append(f"{said}, but had not been registered")
        elif event.model_digest not in {None, registered[version]}:
            found.append(f"{said} as the model {event.model_digest}, but registered was {registered[version]}")
    return found


def _files(events: Iterable[ModelEvent], packages: Packages) -> tuple[int, int, list[str]]:
    """Return how many registered versions are whole, how many are not here, and what is wrong with the others."""
    whole, absent, damaged = 0, 0, []
    registered = [event for event in events if event.action == "registered"]
    here = {name: packages.versions(name) for name in {event.model_name for event in registered}}
    for event in registered:
        if event.model_version not in here[event.model_name]:
            absent += 1
            continue
        try:
            packages.load(
                event.model_name,
                event.model_version,
                digest=event.model_digest,
                manifest_digest=event.manifest_digest,
            )
            whole += 1
        except ModelIntegrityError as error:
            damaged.append(f"{event.model_name} {event.model_version}: {error}")
    return whole, absent, damaged
