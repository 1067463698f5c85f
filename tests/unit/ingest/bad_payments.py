"""Payments as nobody should send them, and what the sender is told: over REST, and as a dead letter from the topic."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from shared.contracts import codec
from shared.contracts.events import Transaction
from tests.events import payment
from tests.unit.ingest.serving import NOW

FUTURE_SECONDS_MAX = 300
CARD = "card-under-noise"
MERCHANT = "merchant-under-noise"
MEGABYTE = 1_000_000

_GOOD = payment("bad", card_id=CARD, merchant_id=MERCHANT, device_id="d1", user_id="u1", attributes={"basket": 7.0})
_ENCODED = codec.encode(_GOOD)
_IDENTIFIERS = {"transaction_id": "bad", "card_id": CARD, "merchant_id": MERCHANT, "device_id": "d1", "user_id": "u1"}


class Bad(NamedTuple):
    """One bad payment: status and field of the REST answer, error code of the dead letter."""

    body: bytes
    status: int
    field: str | None
    error: str = "invalid"


def bent(old: bytes, new: bytes) -> bytes:
    """Return a good payment's JSON with one thing changed."""
    assert _ENCODED.count(old) == 1
    return _ENCODED.replace(old, new)


def amount(value: bytes) -> bytes:
    return bent(b'"amount":1999', b'"amount":' + value)


def attribute(value: bytes) -> bytes:
    return bent(b'"basket":7.0', b'"basket":' + value)


def identifier(field: str, value: bytes) -> bytes:
    return bent(f'"{field}":"{_IDENTIFIERS[field]}"'.encode(), f'"{field}":'.encode() + value)


def occurred_at(value: str) -> bytes:
    return bent(b'"2026-03-02T12:00:00Z"', f'"{value}"'.encode())


def with_field(name: bytes, value: bytes) -> bytes:
    return _ENCODED[:-1] + b',"' + name + b'":' + value + b"}"


def _numbers() -> Iterator[tuple[str, Bad]]:
    for word in (b"NaN", b"Infinity", b"-Infinity"):
        yield f"amount {word.decode()}", Bad(amount(word), 400, None, "not_json")
        yield f"attribute {word.decode()}", Bad(attribute(word), 400, None, "not_json")
    for name, number in {"1e400": b"1e400", "-1e400": b"-1e400", "5,000 digits": b"9" * 5_000}.items():
        yield f"amount {name}", Bad(amount(number), 422, "amount")
        yield f"attribute {name}", Bad(attribute(number), 422, "attributes")
    for number in (b"-1", b"1000000000000001", b"19.99", b'"19.99"', b"true", b"null"):
        yield f"amount {number.decode()}", Bad(amount(number), 422, "amount")


def _times() -> Iterator[tuple[str, Bad]]:
    for year in ("1969", "9026"):
        yield f"year {year}", Bad(occurred_at(f"{year}-03-02T12:00:00Z"), 422, "occurred_at", "out_of_range")
    ahead = NOW + timedelta(seconds=FUTURE_SECONDS_MAX, milliseconds=1)
    for time in (ahead.isoformat(), "2126-03-02T12:00:00Z"):
        yield f"ahead {time}", Bad(occurred_at(time), 422, "occurred_at", "ahead_of_clock")
    for time in ("2026-03-02T12:00:00", "2026-03-02", "now", "2026-02-30T12:00:00Z"):
        yield f"time {time}", Bad(occurred_at(time), 422, "occurred_at")
    yield "time as a number", Bad(bent(b'"2026-03-02T12:00:00Z"', b"1772452800"), 422, "occurred_at")


def _identifiers() -> Iterator[tuple[str, Bad]]:
    texts = {
        "empty": b'""',
        "900 KB": b'"' + b"x" * 900_000 + b'"',
        "129 characters": b'"' + b"x" * 129 + b'"',
        "NUL": rb'"a\u0000b"',
        "line feed at the end": rb'"a\n"',
        "escape": rb'"a\u001b[2J"',
        "delete": b'"a\x7f"',
        "C1 control": '"a\x85"'.encode(),
    }
    for field in _IDENTIFIERS:
        for name, text in texts.items():
            yield f"{field} {name}", Bad(identifier(field, text), 422, field)
    for name, text in {"lone surrogate": rb'"a\ud800"', "raw surrogate": b'"\xed\xa0\x80"', "raw NUL": b'"\0"'}.items():
        yield f"card_id {name}", Bad(identifier("card_id", text), 400, None, "not_json")
    yield "card_id 1 MB", Bad(identifier("card_id", b'"' + b"x" * MEGABYTE + b'"'), 413, None)
    yield "currency with a line feed", Bad(bent(b'"EUR"', rb'"EUR\n"'), 422, "currency")
    yield "mcc with a line feed", Bad(bent(b'"5411"', rb'"5411\n"'), 422, "mcc")


def _shapes() -> Iterator[tuple[str, Bad]]:
    many = b",".join(b'"a%d":1' % number for number in range(10_000))
    yield "10,000 attributes", Bad(bent(b'"basket":7.0', many), 422, "attributes")
    for name, value in {
        "object": b'{"a":1}',
        "list": b"[1]",
        "deep list": b"[" * 100_000,
        "deep object": b'{"a":' * 100_000,
        "257 characters": b'"' + b"x" * 257 + b'"',
    }.items():
        yield f"attribute {name}", Bad(attribute(value), 422, "attributes")
    for name, key in {"empty": b"", "900 KB": b"n" * 900_000, "NUL": rb"a\u0000"}.items():
        yield f"attribute named {name}", Bad(bent(b'"basket"', b'"' + key + b'"'), 422, "attributes")
    yield "attribute named 1 MB", Bad(bent(b'"basket"', b'"' + b"n" * MEGABYTE + b'"'), 413, None)
    yield "deep unknown field", Bad(with_field(b"more", b"[" * 100_000), 422, "more")
    yield "deep list", Bad(b"[" * 100_000, 422, None)
    yield "bad value before its good twin", Bad(amount(b'-1,"amount":1999'), 422, "amount")
    yield "bytes behind the end", Bad(_ENCODED + b"{}", 400, None, "not_json")


BAD: dict[str, Bad] = {name: bad for cases in (_numbers(), _times(), _identifiers(), _shapes()) for name, bad in cases}


class Odd(NamedTuple):
    """A payment that looks bad and has a meaning: what is read from it."""

    body: bytes
    read: Transaction


def _read(**fields: Any) -> Transaction:
    return msgspec.structs.replace(_GOOD, **fields)


ODD: dict[str, Odd] = {
    "of two values the last counts": Odd(amount(b'1,"amount":5'), _read(amount=5)),
    "of two attributes the last counts": Odd(attribute(b'1.0,"basket":2.0'), _read(attributes={"basket": 2.0})),
    "minus nothing": Odd(amount(b"-0"), _read(amount=0)),
    "the largest amount": Odd(amount(b"1000000000000000"), _read(amount=10**15)),
    "a very large attribute": Odd(attribute(b"1e308"), _read(attributes={"basket": 1e308})),
    "as far ahead as may be": Odd(
        occurred_at((NOW + timedelta(seconds=FUTURE_SECONDS_MAX)).isoformat()),
        _read(occurred_at=NOW + timedelta(seconds=FUTURE_SECONDS_MAX)),
    ),
    "decades old": Odd(occurred_at("1970-01-01T00:00:00Z"), _read(occurred_at=datetime(1970, 1, 1, tzinfo=UTC))),
    "two characters for one": Odd(identifier("user_id", rb'"\ud83d\ude00"'), _read(user_id="\U0001f600")),
}
