"""How far the state is behind the log, in one value of the store, read in the same round trip as the states.

    bytes 0 to 8     for card, merchant, device and user: for how many hours back its history is whole, uint16
    then 16 each     for partition 0 of `transactions`, 0 of `labels`, 1 of `transactions`, ...:
                     through when it is applied (milliseconds since 1970), and how many records wait, int64

A store that lost its state, whole or emptied under a running service, has zeros in the first eight bytes.
"""

import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Self

from shared.contracts.topics import LABELS, TRANSACTIONS
from shared.features.definitions import HOUR, Entity, FeatureSet

PROGRESS_KEY = "headrace:progress"
APPLIED_TOPICS = (TRANSACTIONS.name, LABELS.name)

Patch = tuple[int, bytes]
"""An offset into the value, and the bytes to write there."""

_WHOLE = struct.Struct("<4H")
_THROUGH = struct.Struct("<q")
_WAITING = struct.Struct("<q")
_PARTITION_BYTES = _THROUGH.size + _WAITING.size
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Applied(NamedTuple):
    """How far one partition is applied.

    through_ms: everything the log took in before is in the state; 0 when that is not known.
    waiting_records: how many are not applied yet.
    """

    through_ms: int
    waiting_records: int


class Progress(NamedTuple):
    """What the value tells.

    whole_hours: by entity, in the order of Entity: for how many hours back its history is whole.
    partitions: of those that somebody has told about, by topic and partition.
    """

    whole_hours: tuple[int, ...]
    partitions: Mapping[tuple[str, int], Applied]

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Return what `value` tells; an empty one tells nothing. Bytes short of a whole partition are left out."""
        header = value[: _WHOLE.size].ljust(_WHOLE.size, b"\0")
        end = len(value) - (len(value) - _WHOLE.size) % _PARTITION_BYTES
        places = enumerate(struct.iter_unpack("<2q", value[_WHOLE.size : end]))
        found = {
            (APPLIED_TOPICS[at % len(APPLIED_TOPICS)], at // len(APPLIED_TOPICS)): Applied(*numbers)
            for at, numbers in places
            if any(numbers)
        }
        return cls(_WHOLE.unpack(header), found)

    def is_complete(self, needed_hours: Sequence[int]) -> bool:
        """Tell whether every history is whole as far back as `needed_hours`, by entity."""
        return all(whole >= needed for whole, needed in zip(self.whole_hours, needed_hours, strict=True))

    def age_seconds(self, now: datetime) -> float | None:
        """Return how far the state is behind the log, by its slowest partition; None when nothing is known of any."""
        known = [applied.through_ms for applied in self.partitions.values() if applied.through_ms]
        return max(0.0, (milliseconds(now) - min(known)) / 1000) if known else None

    @property
    def lag_records(self) -> int | None:
        """How many records wait; None when nothing is known."""
        return sum(applied.waiting_records for applied in self.partitions.values()) if self.partitions else None


def needed_hours(feature_set: FeatureSet) -> tuple[int, ...]:
    """Return how far back, by entity, the features look: hours, rounded up."""
    return tuple(-(-feature_set.horizon(entity) // HOUR) for entity in Entity)


def whole(hours: Sequence[int]) -> Patch:
    """Return the patch that says for how many hours back each entity's history is whole."""
    return 0, _WHOLE.pack(*hours)


def applied(topic: str, partition: int, *, through_ms: int | None, waiting_records: int) -> Patch:
    """Return the patch that says how far a partition of one of APPLIED_TOPICS is applied.

    through_ms: None leaves what is there.
    """
    at = _WHOLE.size + (partition * len(APPLIED_TOPICS) + APPLIED_TOPICS.index(topic)) * _PARTITION_BYTES
    waiting = _WAITING.pack(waiting_records)
    return (at + _THROUGH.size, waiting) if through_ms is None else (at, _THROUGH.pack(through_ms) + waiting)


def milliseconds(time: datetime) -> int:
    """Return milliseconds since 1970, rounded down, as the log counts them."""
    return (time - _EPOCH) // _MILLISECOND
