"""An entity's state as bytes: a set of 72-byte records that only grows, in order of arrival.

A payment is one record in the state of each of its entities; a label likewise. Appends commute, a record that stands
twice counts once, and what was known when a payment arrived is what stands before it: so replays, crashes and
concurrent writers cannot change a vector. A record is nine words of 64 bits:

    word       payment                             label                         tile (see tiles)
    ORIGIN     kind, and where on the log it came  kind, and where it came       kind, and number of payments
    TIME       event time, microseconds            when it became known          newest event time
    EVENT      hash of event_id                    hash of event_id              oldest event time
    SUBJECT    hash of transaction_id              hash of transaction_id        how many were labelled fraud
    AMOUNT     minor units                         1 fraud, 0 genuine            sum of amounts, float64
    CODES      mcc, country, channel, currency     the payment's event time,    squared distances to mean, float64
                                                   -1 where it is not known
    FIRST      hash of another entity's id         1 if told to others after its smallest amount
                                                   payment, but known before it
    SECOND     hash of another entity's id         0                             largest amount
    THIRD      hash of another entity's id         0                             0
"""

import functools
import hashlib
import re
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, get_args

import numpy as np
import numpy.typing as npt

from shared.contracts.events import Channel, Label, Transaction
from shared.features.definitions import Entity, Field

ORIGIN, TIME, EVENT, SUBJECT, AMOUNT, CODES, FIRST, SECOND, THIRD = range(9)
WORDS = 9
RECORD_BYTES = WORDS * 8

Records = npt.NDArray[np.int64]
"""Shape (records, WORDS), in order of arrival."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_KIND_SHIFT = 61
_PARTITION_SHIFT = 47
_PARTITIONS_MAX = 1 << (_KIND_SHIFT - _PARTITION_SHIFT)
LABEL_KIND = 1 << _KIND_SHIFT
TILE_KIND = 2 << _KIND_SHIFT
"""Origins from here on are tiles'; from LABEL_KIND to here, labels'; smaller ones, payments'."""
REST_ORIGIN = (_PARTITIONS_MAX - 1) << _PARTITION_SHIFT
"""Origin of a payment that was applied by a REST call, before it came by on the log."""


KEY_PREFIX = "features:"
"""Every key of the store that belongs to an entity begins with this."""
UNKNOWN_TIME = -1
"""Stands in a label for the time of a payment that has not been looked up."""

Append = tuple[str, bytes]
"""A key of the store, and the bytes to add at the end of its value."""


class Bits(NamedTuple):
    """Where in a record something stands: the word, how far to shift it right, and the mask to apply then."""

    word: int
    shift: int
    mask: int


_CATEGORIES = {
    Field.MCC: Bits(CODES, 0, (1 << 14) - 1),
    Field.COUNTRY: Bits(CODES, 14, (1 << 10) - 1),
    Field.CHANNEL: Bits(CODES, 24, (1 << 8) - 1),
    Field.CURRENCY: Bits(CODES, 32, (1 << 15) - 1),
}
_OTHERS = {entity: tuple(other for other in Entity if other is not entity) for entity in Entity}
_ENTITY_ORDER = {entity: at for at, entity in enumerate(Entity)}
_CHANNELS = get_args(Channel)
_CHANNEL_CODES = {channel: code for code, channel in enumerate(_CHANNELS)}
_FORMS = {
    Field.MCC: re.compile("[0-9]{4}"),
    Field.COUNTRY: re.compile("[A-Z]{2}"),
    Field.CURRENCY: re.compile("[A-Z]{3}"),
}
_LETTERS = 26
_LETTERS_OF = {Field.COUNTRY: 2, Field.CURRENCY: 3}
_MCC_CODES = 10_000
_A = ord("A")

_pack = struct.Struct("<9q").pack


def bits_of(what: Field | Entity, *, inside: Entity) -> Bits:
    """Return where a category or another entity stands in the records of an entity `inside`.

    Raises:
        ValueError: the entity itself, which its own records do not repeat.
    """
    if isinstance(what, Field):
        return _CATEGORIES[what]
    if what is inside:
        raise ValueError(f"every payment of a {inside.value} has the same {inside.value}")
    return Bits((FIRST, SECOND, THIRD)[_OTHERS[inside].index(what)], 0, -1)


def category_code(field: Field, value: str) -> int:
    """Return the code that stands for a category; letters count as digits to the base 26.

    Raises:
        ValueError: not a value that a payment can have.
    """
    if field is Field.CHANNEL:
        if value not in _CHANNEL_CODES:
            raise ValueError(f"channel {value!r} is none of {', '.join(_CHANNEL_CODES)}")
        return _CHANNEL_CODES[value]
    if not _FORMS[field].fullmatch(value):
        raise ValueError(f"{field.value} {value!r} is not of the form {_FORMS[field].pattern}")
    if field is Field.MCC:
        return int(value)
    code = 0
    for letter in value:
        code = code * _LETTERS + ord(letter) - _A
    return code


def category_value(field: Field, code: int) -> str:
    """Return the category that `code` stands for: the inverse of category_code.

    Raises:
        ValueError: no category has this code.
    """
    codes = {Field.CHANNEL: len(_CHANNELS), Field.MCC: _MCC_CODES}
    bound = codes.get(field) or _LETTERS ** _LETTERS_OF[field]
    if not 0 <= code < bound:
        raise ValueError(f"{field.value} code {code} stands for nothing: they run from 0 to {bound - 1}")
    if field is Field.CHANNEL:
        return str(_CHANNELS[code])
    if field is Field.MCC:
        return f"{code:04d}"
    letters = ""
    for _ in range(_LETTERS_OF[field]):
        code, letter = divmod(code, _LETTERS)
        letters = chr(_A + letter) + letters
    return letters


def log_origin(partition: int, offset: int) -> int:
    """Return the origin of a record read from the log.

    Raises:
        ValueError: the partition or the offset is larger than the record can hold.
    """
    if not (0 <= partition < _PARTITIONS_MAX - 1 and 0 <= offset < 1 << _PARTITION_SHIFT):
        raise ValueError(f"partition {partition}, offset {offset}: at most {_PARTITIONS_MAX - 2} and 2^47 - 1")
    return partition << _PARTITION_SHIFT | offset


def identity(text: str | None) -> int:
    """Return the signed 64-bit hash that stands for an id inside one entity's state; 0 for no id."""
    if text is None:
        return 0
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little", signed=True)


def entity_key(entity: Entity, entity_id: int) -> str:
    """Return the store's key of an entity, from the hash of its id; the id is the hash tag of a Redis Cluster."""
    return f"{KEY_PREFIX}{entity.value}:{{{entity_id & (2**64 - 1):016x}}}"


def microseconds(time: datetime) -> int:
    """Return microseconds since 1970, exactly."""
    return (time - _EPOCH) // _MICROSECOND


class PaymentRecords(NamedTuple):
    """A payment, packed: the hash of its event id, and an append for each entity asked for, None where it has none."""

    event: int
    appends: list[Append | None]


def payment_records(payment: Transaction, *, origin: int, entities: Sequence[Entity]) -> PaymentRecords:
    """Return what to append for `payment` to the states of its `entities`, in their order."""
    named = (
        _named(Entity.CARD, payment.card_id),
        _named(Entity.MERCHANT, payment.merchant_id),
        _named(Entity.DEVICE, payment.device_id),
        _named(Entity.USER, payment.user_id),
    )
    ids = [entity_id for entity_id, _ in named]
    event = identity(payment.event_id)
    head = (
        origin,
        microseconds(payment.occurred_at),
        event,
        identity(payment.transaction_id),
        payment.amount,
        _codes(payment.mcc, payment.country, payment.channel, payment.currency),
    )
    found: list[Append | None] = []
    for entity in entities:
        at = _ENTITY_ORDER[entity]
        found.append((named[at][1], _pack(*head, *ids[:at], *ids[at + 1 :])) if ids[at] else None)
    return PaymentRecords(event, found)


def label_append(label: Label, *, origin: int) -> Append:
    """Return the append that tells a label to its payment's card."""
    is_fraud = int(label.label == "fraud")
    when, event, subject = microseconds(label.occurred_at), identity(label.event_id), identity(label.transaction_id)
    record = _pack(origin | LABEL_KIND, when, event, subject, is_fraud, UNKNOWN_TIME, 0, 0, 0)
    return entity_key(Entity.CARD, identity(label.card_id)), record


def others_to_tell(state: bytes, transaction_ids: Sequence[str], entities: Sequence[Entity]) -> list[Append]:
    """Return the appends that tell a card's labels of `transaction_ids` to the payments' other entities.

    state: the card's value. A label whose payment has not arrived yet is told when it does.
    """
    records = records_of(state)
    wanted = records[np.isin(records[:, SUBJECT], [identity(text) for text in transaction_ids])]
    first_copies: dict[int, int] = {}
    for row in np.flatnonzero(wanted[:, ORIGIN] < LABEL_KIND).tolist():
        first_copies.setdefault(int(wanted[row, EVENT]), row)
    payments = {int(wanted[row, SUBJECT]): row for row in first_copies.values()}
    others = [entity for entity in entities if entity is not Entity.CARD]
    appends = []
    for row in np.flatnonzero((wanted[:, ORIGIN] >= LABEL_KIND) & (wanted[:, ORIGIN] < TILE_KIND)).tolist():
        payment_row = payments.get(int(wanted[row, SUBJECT]))
        if payment_row is None:
            continue
        told, payment = wanted[row].copy(), wanted[payment_row]
        told[CODES], told[FIRST] = payment[TIME], row < payment_row
        for entity in others:
            entity_id = int(payment[bits_of(entity, inside=Entity.CARD).word])
            if entity_id:
                appends.append((entity_key(entity, entity_id), told.tobytes()))
    return appends


def records_of(value: bytes) -> Records:
    """Return the records in a stored value; raises ValueError when it is not a whole number of records."""
    if len(value) % RECORD_BYTES:
        raise ValueError(f"state of {len(value)} bytes is not a whole number of {RECORD_BYTES}-byte records")
    return np.frombuffer(value, dtype="<i8").reshape(-1, WORDS)


@functools.lru_cache(maxsize=262_144)
def _named(entity: Entity, text: str | None) -> tuple[int, str]:
    """Return the hash and the key of an entity; most come again."""
    entity_id = identity(text)
    return entity_id, entity_key(entity, entity_id)


@functools.lru_cache(maxsize=65_536)
def _codes(mcc: str, country: str, channel: str, currency: str) -> int:
    values = {Field.MCC: mcc, Field.COUNTRY: country, Field.CHANNEL: channel, Field.CURRENCY: currency}
    return sum(category_code(field, value) << _CATEGORIES[field].shift for field, value in values.items())
