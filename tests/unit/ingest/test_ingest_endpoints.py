from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from shared.contracts import codec
from shared.contracts.events import Label, Transaction
from shared.contracts.ids import derived_event_id
from shared.contracts.shopping import Interaction, Item, User
from shared.intake.posted import POSTED
from tests.events import payment
from tests.unit.ingest.serving import Running, payment_body, serving

LABEL = {
    "occurred_at": "2026-03-09T12:00:00Z",
    "transaction_id": "tx-1",
    "card_id": "card-1",
    "label": "fraud",
    "source": "chargeback",
}
INTERACTION = {"occurred_at": "2026-03-02T12:00:00Z", "user_id": "user-1", "item_id": "item-1", "kind": "view"}
ITEM = {
    "occurred_at": "2026-03-02T12:00:00Z",
    "item_id": "item-1",
    "categories": ["shoes", "sale"],
    "attributes": {"price": 19.5},
    "expires_at": "2026-05-01T00:00:00Z",
}
USER = {"occurred_at": "2026-03-02T12:00:00Z", "user_id": "user-1", "attributes": {"country": "DE"}}


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving(headrace_ingest_event_bytes_max=20_000, headrace_ingest_batch_events_max=5) as running:
        yield running


@pytest.fixture
def ingest(server: Running) -> Running:
    return server.fresh()


@pytest.mark.parametrize(
    ("topic", "body", "kind"),
    [
        ("transactions", payment_body(attributes={"basket": 3, "campaign": "spring"}), Transaction),
        ("labels", LABEL, Label),
        ("interactions", INTERACTION, Interaction),
        ("items", ITEM, Item),
        ("users", USER, User),
    ],
)
def test_a_posted_event_is_on_its_topic_under_the_answered_id(
    ingest: Running, topic: str, body: dict[str, Any], kind: type
) -> None:
    answer = ingest.post(f"/v1/{topic}", body)
    assert answer.status_code == 202
    (event,) = ingest.events(topic)
    assert isinstance(event, kind)
    assert answer.json() == {"event_id": event.event_id, "trace_id": event.trace_id}
    assert msgspec.to_builtins(event).items() >= body.items()


def test_event_time_is_kept_in_utc(ingest: Running) -> None:
    assert ingest.post("/v1/transactions", payment_body(occurred_at="2026-03-02T13:30:00+02:00")).status_code == 202
    (event,) = ingest.events("transactions")
    assert event.occurred_at == datetime(2026, 3, 2, 11, 30, tzinfo=UTC)
    assert event.occurred_at.tzinfo is UTC


@pytest.mark.parametrize(
    ("fields", "field", "hinted"),
    [
        ({"amount": "19.99"}, "amount", "1999 is 19.99 EUR"),
        ({"amount": 19.99}, "amount", "minor units"),
        ({"amount": -1}, "amount", "minor units"),
        ({"card_id": None}, "card_id", "1 to 128 characters"),
        ({"card_id": ""}, "card_id", "1 to 128 characters"),
        ({"device_id": 7}, "device_id", "1 to 128 characters"),
        ({"currency": "eur"}, "currency", "ISO 4217"),
        ({"channel": "web"}, "channel", "ecommerce"),
        ({"mcc": 5411}, "mcc", "ISO 18245"),
        ({"occurred_at": "2026-03-02T12:00:00"}, "occurred_at", "with an offset"),
        ({"occurred_at": "yesterday"}, "occurred_at", "RFC 3339"),
        ({"occurred_at": "0001-01-01T00:00:00+23:59"}, "occurred_at", "RFC 3339"),
        ({"occurred_at": "9999-12-31T23:59:59-23:59"}, "occurred_at", "RFC 3339"),
        ({"event_id": "17"}, "event_id", "UUIDv7"),
        ({"trace_id": "x"}, "trace_id", "W3C"),
        ({"schema_version": 2}, "schema_version", "1"),
        ({"attributes": {"nested": {}}}, "attributes", "finite number"),
        ({"attributes": {"": 1}}, "attributes", "finite number"),
        ({"amonut": 1999}, "amonut", "Did you mean amount?"),
    ],
)
def test_a_refusal_names_the_field_and_what_to_do(
    ingest: Running, fields: dict[str, Any], field: str, hinted: str
) -> None:
    answer = ingest.post("/v1/transactions", payment_body(**fields))
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["field"] == field
    assert hinted in error["hint"]
    assert error["message"]
    assert ingest.events("transactions") == []

    batch = ingest.post("/v1/transactions/batch", {"events": [payment_body(), payment_body(**fields)]}).json()
    assert [item["status"] for item in batch["items"]] == [202, 422]
    assert batch["items"][1]["error"]["field"] == f"events[1].{field}"


def test_a_batch_is_answered_event_by_event_in_order(ingest: Running) -> None:
    events: list[Any] = [payment_body(transaction_id=f"tx-{n}") for n in range(3)]
    events.insert(1, 17)
    answer = ingest.post("/v1/transactions/batch", {"events": events})
    assert answer.status_code == 202
    body = answer.json()
    assert (body["accepted"], body["rejected"]) == (3, 1)
    assert [item["status"] for item in body["items"]] == [202, 422, 202, 202]
    assert body["items"][1]["error"]["field"] == "events[1]"
    ids = [item["event_id"] for item in body["items"] if item["status"] == 202]
    assert ids == [event.event_id for event in ingest.events("transactions")]  # one card, so one partition in order


def test_an_empty_batch_is_taken(ingest: Running) -> None:
    answer = ingest.post("/v1/transactions/batch", {"events": []})
    assert (answer.status_code, answer.json()) == (202, {"accepted": 0, "rejected": 0, "items": []})


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/v1/transactions", b"{", 400, None),
        ("/v1/transactions", b"", 400, None),
        ("/v1/transactions", b"\x1f\x8b\x08", 400, None),
        ("/v1/transactions", b'{"card_id": "\\ud800"}', 400, None),
        ("/v1/transactions", b"[]", 422, None),
        ("/v1/transactions", b" " * 20_001, 413, None),
        ("/v1/transactions/batch", b"{", 400, None),
        ("/v1/transactions/batch", b'{"events":' + b"[" * 5_000, 400, None),
        ("/v1/transactions/batch", b"{}", 422, "events"),
        ("/v1/transactions/batch", b'{"events": 3}', 422, "events"),
        ("/v1/transactions/batch", b'{"event": []}', 422, "event"),
        ("/v1/transactions/batch", b'{"events": [1, 2, 3, 4, 5, 6]}', 422, "events"),
        ("/v1/payments", b"{}", 404, None),
    ],
)
def test_a_request_that_fails_as_a_whole(
    ingest: Running, path: str, body: bytes, status: int, field: str | None
) -> None:
    answer = ingest.post(path, body)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["field"] == field
    assert error["code"]
    assert error["message"]
    assert error["hint"]


def test_another_method_is_refused_in_the_same_shape(ingest: Running) -> None:
    answer = ingest.client.get("/v1/transactions")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"
    assert answer.json()["error"]["code"] == "method_not_allowed"


def test_the_trace_comes_from_the_event_else_from_traceparent_else_it_is_new(ingest: Running) -> None:
    own, outer = "a" * 32, "b" * 32
    header = {"traceparent": f"00-{outer}-{'c' * 16}-01"}
    assert ingest.post("/v1/transactions", payment_body(trace_id=own), header).json()["trace_id"] == own
    assert ingest.post("/v1/transactions", payment_body(), header).json()["trace_id"] == outer
    fresh = ingest.post("/v1/transactions", payment_body(), {"traceparent": f"00-{'0' * 32}-{'c' * 16}-01"})
    assert fresh.json()["trace_id"] not in {own, outer, "0" * 32}
    ingest.post("/v1/transactions/batch", {"events": [payment_body(transaction_id="tx-2")]}, header)
    assert [event.trace_id for event in ingest.events("transactions")][-1] == outer


def test_a_posted_event_encodes_to_the_bytes_of_the_event_itself(ingest: Running) -> None:
    event = payment("tx-9", device_id="device-1", attributes={"score": 2.0, "campaign": "spring"})
    tail = ingest.bus.tail(["transactions"], start="newest")
    assert ingest.post("/v1/transactions", codec.encode(event)).status_code == 202
    (record,) = tail.poll(wait_seconds=1)
    assert record.value == codec.encode(event)


def test_without_an_id_the_same_event_gets_the_same_id(ingest: Running) -> None:
    event = payment("tx-1")
    first = ingest.post("/v1/transactions", payment_body(occurred_at=event.occurred_at)).json()["event_id"]
    again = ingest.post("/v1/transactions", payment_body(occurred_at="2026-03-02T14:00:00+02:00")).json()["event_id"]
    other = ingest.post("/v1/transactions", payment_body(transaction_id="tx-2")).json()["event_id"]
    assert first == again == derived_event_id(event.occurred_at, "transactions", "tx-1")
    assert other != first
    # A payment may be labelled twice, with another verdict or from another source.
    labels = [LABEL, LABEL | {"label": "genuine"}, LABEL | {"source": "review"}, LABEL]
    ids = [ingest.post("/v1/labels", label).json()["event_id"] for label in labels]
    assert len(set(ids)) == 3
    assert ids[0] == ids[3]


def test_openapi_describes_bodies_and_answers(ingest: Running) -> None:
    document = ingest.client.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    for posted in POSTED:
        name = posted.topic.event.__name__
        one = document["paths"][f"/v1/{posted.topic.name}"]["post"]
        reference = one["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        assert reference == f"#/components/schemas/Posted{name}"
        optional = {"event_id", "schema_version", "trace_id"}
        assert not optional & set(schemas[f"Posted{name}"]["required"])
        assert optional <= set(schemas[f"Posted{name}"]["properties"])
        many = document["paths"][f"/v1/{posted.topic.name}/batch"]["post"]
        assert many["requestBody"]["content"]["application/json"]["schema"]["properties"]["events"]["items"]
        assert set(one["responses"]) >= {"202", "400", "409", "413", "422", "503"}
    references = [
        part.split('"')[0] for part in msgspec.json.encode(document).decode().split("#/components/schemas/")[1:]
    ]
    assert set(references) <= set(schemas)
