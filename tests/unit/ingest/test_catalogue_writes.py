"""Items and users under paths of their own: put, put again, deleted, refused."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest

from shared.contracts import codec
from shared.contracts.ids import derived_event_id
from shared.contracts.shopping import Item, User
from shared.runtime.clock import ManualClock
from tests.unit.ingest.serving import NOW, Running, serving

ODD_IDS = ["item-1", "a/b", "with space", "ü%2F?#&", "batch", "..;", "x" * 128]


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving(headrace_ingest_event_bytes_max=20_000) as running:
        yield running


@pytest.fixture
def ingest(server: Running) -> Running:
    return server.fresh()


def put(ingest: Running, path: str, body: Any) -> httpx.Response:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return ingest.client.put(path, content=content)


@pytest.mark.parametrize("item_id", ODD_IDS)
def test_an_item_is_put_under_its_path_as_of_now(ingest: Running, item_id: str) -> None:
    body = {"categories": ["shoes"], "attributes": {"price": 5}, "is_available": False}
    answer = put(ingest, f"/v1/items/{quote(item_id, safe='')}", body)
    assert answer.status_code == 202
    (item,) = ingest.events("items")
    assert isinstance(item, Item)
    assert (item.item_id, item.occurred_at, item.is_deleted) == (item_id, NOW, False)
    assert msgspec.to_builtins(item).items() >= body.items()
    assert answer.json() == {"event_id": item.event_id, "trace_id": item.trace_id}
    assert item.event_id == derived_event_id(NOW, "items", item_id, NOW.isoformat())


@pytest.mark.parametrize("user_id", ODD_IDS)
def test_a_user_is_put_and_deleted(ingest: Running, user_id: str) -> None:
    path = f"/v1/users/{quote(user_id, safe='')}"
    assert put(ingest, path, {"attributes": {"name": "Ada"}}).status_code == 202
    assert ingest.client.delete(path).status_code == 202
    before, after = ingest.events("users")
    assert isinstance(before, User)
    assert isinstance(after, User)
    assert (before.user_id, before.attributes, before.is_deleted) == (user_id, {"name": "Ada"}, False)
    assert (after.user_id, after.attributes, after.is_deleted) == (user_id, {}, True)


def test_what_the_body_says_itself_counts(ingest: Running) -> None:
    body = {"item_id": "item-1", "occurred_at": "2026-03-02T14:00:00+02:00", "trace_id": "a" * 32}
    assert put(ingest, "/v1/items/item-1", body).status_code == 202
    (item,) = ingest.events("items")
    assert (item.occurred_at, item.trace_id) == (datetime(2026, 3, 2, 12, tzinfo=UTC), "a" * 32)


def test_a_put_event_is_the_same_bytes_as_the_event_itself(ingest: Running) -> None:
    tail = ingest.bus.tail(["items"], start="newest")
    put(ingest, "/v1/items/item-1", {"categories": ["a"]})
    (record,) = tail.poll(wait_seconds=1)
    assert record.key == b"item-1"
    assert record.value == codec.encode(codec.decode(Item, record.value or b""))


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_the_trace_comes_from_traceparent(ingest: Running, method: str) -> None:
    headers = {"traceparent": f"00-{'b' * 32}-{'c' * 16}-01"}
    answer = ingest.client.request(method, "/v1/items/item-1", content=b"{}", headers=headers)
    assert answer.json()["trace_id"] == "b" * 32


def test_each_change_is_an_event_of_its_own() -> None:
    clock = ManualClock(NOW)
    with serving(clock=clock) as ingest:
        ids = []
        for _ in range(3):
            ids.append(put(ingest, "/v1/items/item-1", {}).json()["event_id"])
            clock.advance(timedelta(microseconds=1))
        assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("path", "body", "status", "field", "hinted"),
    [
        ("/v1/items/item-1", {"item_id": "item-2"}, 422, "item_id", "Leave item_id out"),
        ("/v1/users/user-1", {"user_id": "user-2"}, 422, "user_id", "Leave user_id out"),
        ("/v1/items/" + "x" * 129, {}, 422, "item_id", "1 to 128 characters"),
        ("/v1/items/a%09b", {}, 422, "item_id", "1 to 128 characters"),
        ("/v1/items/", {}, 422, "item_id", "1 to 128 characters"),
        ("/v1/items/item-1", {"category": "shoes"}, 422, "category", "Did you mean categories?"),
        ("/v1/items/item-1", {"categories": "shoes"}, 422, "categories", "The main one first"),
        ("/v1/items/item-1", {"categories": ["c"] * 33}, 422, "categories", "The main one first"),
        ("/v1/items/item-1", {"expires_at": "tomorrow"}, 422, "expires_at", "RFC 3339"),
        ("/v1/items/item-1", {"occurred_at": "2026-03-10T12:06:00Z"}, 422, "occurred_at", "sender's clock"),
        ("/v1/items/item-1", {"attributes": {"a": [1]}}, 422, "attributes", "finite number"),
        ("/v1/items/item-1", b"{", 400, None, "JSON"),
        ("/v1/items/item-1", b" " * 20_001, 413, None, "smaller"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_taken(
    ingest: Running, path: str, body: Any, status: int, field: str | None, hinted: str
) -> None:
    answer = put(ingest, path, body)
    assert (answer.status_code, answer.json()["error"]["field"]) == (status, field)
    assert hinted in answer.json()["error"]["hint"]
    assert ingest.events("items") == ingest.events("users") == []


def test_deleting_what_is_no_id_is_refused(ingest: Running) -> None:
    answer = ingest.client.delete("/v1/items/" + "x" * 129)
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "item_id")


def test_openapi_tells_what_may_be_put(ingest: Running) -> None:
    document = ingest.client.get("/openapi.json").json()
    for path, name in [("/v1/items/{item_id}", "PutItem"), ("/v1/users/{user_id}", "PutUser")]:
        operations = document["paths"][path]
        schema = operations["put"]["requestBody"]["content"]["application/json"]["schema"]
        assert schema == {"$ref": f"#/components/schemas/{name}"}
        assert document["components"]["schemas"][name]["required"] == []
        assert "requestBody" not in operations["delete"]
        assert {parameter["in"] for parameter in operations["delete"]["parameters"]} == {"path", "header"}
