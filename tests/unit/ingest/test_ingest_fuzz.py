"""Whatever a client sends, the fault is the client's or the event is good: never a 5xx, never a bad record."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.bus.base import Tail
from shared.contracts.codec import decode_record
from shared.contracts.topics import BY_NAME
from tests.unit.ingest.serving import Running, payment_body, serving

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from([*payment_body(), "event_id", "trace_id", "schema_version", "device_id", "attributes", "new"])
TIMES = st.datetimes().map(str) | st.from_regex(r"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-6]\d:[0-6]\d[+-][0-2]\d:[0-5]\d")
BENT_PAYMENTS = st.builds(lambda field, value: payment_body() | {field: value}, FIELDS, JSON | TIMES) | st.builds(
    lambda attributes: payment_body(attributes=attributes), st.dictionaries(st.text(max_size=70), JSON)
)


@pytest.fixture(scope="module")
def ingest() -> Iterator[Running]:
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def tail(ingest: Running) -> Tail:
    return ingest.bus.tail(["transactions"], start="oldest")


def check(ingest: Running, tail: Tail, path: str, body: Any) -> None:
    answer = ingest.post(path, body)
    assert answer.status_code in {202, 400, 422}, answer.text
    if answer.status_code != 202:
        assert answer.json()["error"]["message"]
    for record in tail.poll(wait_seconds=0):
        decode_record(BY_NAME["transactions"], record.key, record.value)


@settings(max_examples=200, deadline=None)
@given(body=st.binary() | st.text().map(str.encode))
@example(body=b'{"amount": ' + b"9" * 5_000 + b"}")
@example(body=b"[" * 100_000)
@example(body=b'{"attributes": {"a": ' + b"[" * 100_000)
def test_any_bytes(ingest: Running, tail: Tail, body: bytes) -> None:
    check(ingest, tail, "/v1/transactions", body)
    check(ingest, tail, "/v1/transactions/batch", body)


@settings(max_examples=300, deadline=None)
@given(body=BENT_PAYMENTS)
@example(body=payment_body(occurred_at="0001-01-01T00:00:00+23:59"))
@example(body=payment_body(occurred_at="9999-12-31T23:59:59-23:59"))
@example(body=payment_body(occurred_at="1969-12-31T23:30:00-01:00"))
def test_any_payment_with_something_odd(ingest: Running, tail: Tail, body: dict[str, Any]) -> None:
    check(ingest, tail, "/v1/transactions", body)


@settings(max_examples=200, deadline=None)
@given(body=JSON | st.fixed_dictionaries({"events": st.lists(JSON | BENT_PAYMENTS, max_size=4)}))
def test_any_batch(ingest: Running, tail: Tail, body: Any) -> None:
    check(ingest, tail, "/v1/transactions/batch", body)
