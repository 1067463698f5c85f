"""Lists of cards, merchants, devices and users that are let through or stopped.

An entity's entries stand under one key of the store, `headrace:list:<entity>:<value>`, as words such as `allow` or
`block@1772366400000`: the list, and until when (milliseconds since the epoch) where it ends.
"""

import typing
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import NamedTuple

from shared.contracts.events import ListedEntity, ListEvent, ListName, Transaction
from shared.runtime.clock import Clock, SystemClock

_READ = {entity: attrgetter(f"{entity}_id") for entity in typing.get_args(ListedEntity)}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Lists:
    """What the store must be asked about a payment, and what its answers mean; never changes."""

    def __init__(self, entities: Collection[ListedEntity] = (), clock: Clock | None = None) -> None:
        """Take the entities that some entry is about; without any, nothing is asked.

        clock: the system's when None.
        """
        self.entities = frozenset(entities)
        self._asked = [(entity, read) for entity, read in _READ.items() if entity in entities]
        self._clock = clock or SystemClock()

    def keys(self, payment: Transaction) -> list[str]:
        """Return what to read for a payment; nothing while there are no entries."""
        return [list_key(entity, value) for entity, read in self._asked if (value := read(payment)) is not None]

    def matched(self, payment: Transaction, values: Sequence[bytes]) -> list[str]:
        """Return the entries that match, such as `block:card`; values: of `keys`, in their order."""
        if not any(values):
            return []
        present = [entity for entity, read in self._asked if read(payment) is not None]
        now_ms = _milliseconds(self._clock.now())
        found = []
        for entity, value in zip(present, values, strict=True):
            for word in value.decode().split():
                name, _, until_ms = word.partition("@")
                if not until_ms or now_ms < int(until_ms):
                    found.append(f"{name}:{entity}")
        return found


class Place(NamedTuple):
    """What an entry is about."""

    entity: ListedEntity
    value: str


class Entries:
    """The entries that stand after some events of `lists`, folded one by one."""

    def __init__(self) -> None:
        self._by_place: dict[Place, dict[ListName, ListEvent]] = {}

    def apply(self, event: ListEvent) -> Place:
        """Add or remove an entry; return what it is about. The latest event about the same entry counts."""
        place = Place(event.entity, event.value)
        standing = self._by_place.setdefault(place, {})
        standing.pop(event.list_name, None)
        if event.action == "added":
            standing[event.list_name] = event
        elif not standing:
            del self._by_place[place]
        return place

    def at(self, place: Place, now: datetime) -> list[ListEvent]:
        """Return the entries about a card, merchant, device or user that have not expired, by list."""
        standing = self._by_place.get(place, {})
        return [event for _, event in sorted(standing.items()) if event.expires_at is None or now < event.expires_at]

    def standing(self, now: datetime) -> list[ListEvent]:
        """Return every entry that has not expired, in the order in which they were first added."""
        return [event for place in self._by_place for event in self.at(place, now)]

    def places(self) -> list[Place]:
        """Return what there are entries about, expired ones among them."""
        return list(self._by_place)

    def entities(self, now: datetime) -> frozenset[ListedEntity]:
        """Return which kinds of entity have an entry."""
        return frozenset(event.entity for event in self.standing(now))


def list_key(entity: str, value: str) -> str:
    """Return the store's key of the entries about a card, merchant, device or user."""
    return f"headrace:list:{entity}:{value}"


def packed(entries: Iterable[ListEvent]) -> bytes:
    """Return what stands under the key of these entries, which are about the same; empty without any."""
    words = [
        entry.list_name + (f"@{_milliseconds(entry.expires_at)}" if entry.expires_at is not None else "")
        for entry in entries
    ]
    return " ".join(words).encode()


def lifetime(entries: Sequence[ListEvent], now: datetime) -> timedelta | None:
    """Return how long the key of these entries must live; None when one never expires."""
    ends = [entry.expires_at for entry in entries]
    known = [end for end in ends if end is not None]
    return max(known) - now if known and len(known) == len(ends) else None


def _milliseconds(instant: datetime) -> int:
    return (instant - _EPOCH) // _MILLISECOND
