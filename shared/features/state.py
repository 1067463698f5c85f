"""An entity's state as bytes: a set of 48-byte records that only grows, in order of arrival.

A payment is one record in the state of its card and one in that of its merchant; a label likewise. Appends commute,
a record that stands twice counts once, and what was known when a payment arrived is what stands before it: so
replays, crashes and concurrent writers cannot change a vector.

    column    payment                               label
    ORIGIN    kind, and where on the log it came    kind, and where on the log it came
    TIME      event time, microseconds              when it became known, microseconds
    EVENT     hash of event_id                      hash of event_id
    SUBJECT   hash of transaction_id                hash of transaction_id
    AMOUNT    minor units                           1 fraud, 0 genuine
    OTHER     hash of the other entity's id         0
"""

import hashlib
import struct
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from shared.contracts.events import Label, Transaction
from shared.features.definitions import Entity

ORIGIN, TIME, EVENT, SUBJECT, AMOUNT, OTHER = range(6)
COLUMNS = 6
RECORD_BYTES = COLUMNS * 8

Records = npt.NDArray[np.int64]
"""Shape (records, COLUMNS), in order of arrival."""

_PACK = struct.Struct("<6q").pack
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_KIND_SHIFT = 61
_PARTITION_SHIFT = 47
_PARTITIONS_MAX = 1 << (_KIND_SHIFT - _PARTITION_SHIFT)
_LABEL_KIND = 1 << _KIND_SHIFT

REST_ORIGIN = (_PARTITIONS_MAX - 1) << _PARTITION_SHIFT
"""Origin of a payment that was applied by a REST call, before it came by on the log."""
LABEL_ORIGINS_FROM = _LABEL_KIND
"""Origins at or above this belong to labels."""


def log_origin(partition: int, offset: int) -> int:
    """Return the origin of a payment read from the log.

    Raises:
        ValueError: the partition or the offset is larger than the record can hold.
    """
    if not (0 <= partition < _PARTITIONS_MAX - 1 and 0 <= offset < 1 << _PARTITION_SHIFT):
        raise ValueError(f"partition {partition}, offset {offset}: at most {_PARTITIONS_MAX - 2} and 2^47 - 1")
    return partition << _PARTITION_SHIFT | offset


def identity(text: str) -> int:
    """Return the signed 64-bit hash that stands for an id inside one entity's state."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def entity_key(entity: Entity, entity_id: int) -> str:
    """Return the store's key of an entity, from the hash of its id."""
    return f"features:{entity.value}:{entity_id & (2**64 - 1):016x}"


def microseconds(time: datetime) -> int:
    """Return microseconds since 1970, exactly."""
    return (time - _EPOCH) // _MICROSECOND


def payment_record(payment: Transaction, *, origin: int, other: int) -> bytes:
    """Return the record of `payment`; `other` is the hash of the entity at the payment's other end."""
    return _PACK(
        origin,
        microseconds(payment.occurred_at),
        identity(payment.event_id),
        identity(payment.transaction_id),
        payment.amount,
        other,
    )


def label_record(label: Label, *, origin: int) -> bytes:
    """Return the record of `label`."""
    return _PACK(
        origin | _LABEL_KIND,
        microseconds(label.occurred_at),
        identity(label.event_id),
        identity(label.transaction_id),
        int(label.label == "fraud"),
        0,
    )


def records_of(value: bytes) -> Records:
    """Return the records in a stored value; raises ValueError when it is not a whole number of records."""
    if len(value) % RECORD_BYTES:
        raise ValueError(f"state of {len(value)} bytes is not a whole number of {RECORD_BYTES}-byte records")
    return np.frombuffer(value, dtype="<i8").reshape(-1, COLUMNS)
