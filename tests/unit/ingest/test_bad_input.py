"""Bad input over REST: each is refused in words, or has a stated meaning; nothing of the bad reaches the log."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from shared.contracts.events import Transaction
from tests.unit.ingest.bad_payments import BAD, FUTURE_SECONDS_MAX, ODD, Bad, Odd
from tests.unit.ingest.serving import NOW, Running, payment_body, serving

ANSWER_BYTES_MAX = 2_000
# What never closes its brackets spoils the batch around it.
BALANCED = {name: bad for name, bad in BAD.items() if bad.status == 422 and "deep" not in name}
EVENTS: dict[str, dict[str, Any]] = {
    "transactions": payment_body(),
    "labels": {"transaction_id": "tx-1", "card_id": "card-1", "label": "fraud", "source": "chargeback"},
    "interactions": {"user_id": "user-1", "item_id": "item-1", "kind": "view"},
}


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with serving() as running:
        yield running


@pytest.fixture
def ingest(server: Running) -> Running:
    return server.fresh()


def on_the_log(ingest: Running) -> list[str]:
    return [event.transaction_id for event in ingest.events("transactions") if isinstance(event, Transaction)]


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_payment_is_refused_in_words_and_the_next_good_one_is_taken(ingest: Running, bad: Bad) -> None:
    answer = ingest.post("/v1/transactions", bad.body)
    assert answer.status_code == bad.status
    error = answer.json()["error"]
    assert error["field"] == bad.field
    assert error["message"]
    assert error["hint"]
    assert len(answer.content) < ANSWER_BYTES_MAX
    assert ingest.post("/v1/transactions", payment_body()).status_code == 202
    assert on_the_log(ingest) == ["tx-1"]


@pytest.mark.parametrize("bad", BALANCED.values(), ids=BALANCED)
def test_in_a_batch_it_leaves_the_others_alone(ingest: Running, bad: Bad) -> None:
    good = msgspec.json.encode(payment_body())
    answer = ingest.post("/v1/transactions/batch", b'{"events":[' + bad.body + b"," + good + b"]}").json()
    assert [item["status"] for item in answer["items"]] == [422, 202]
    assert on_the_log(ingest) == ["tx-1"]


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_an_odd_payment_has_a_stated_meaning(ingest: Running, odd: Odd) -> None:
    assert ingest.post("/v1/transactions", odd.body).status_code == 202
    assert ingest.events("transactions") == [odd.read]


@pytest.mark.parametrize("topic", EVENTS)
def test_an_event_ahead_of_the_clock_is_refused_with_the_bound(ingest: Running, topic: str) -> None:
    bound = NOW + timedelta(seconds=FUTURE_SECONDS_MAX)
    early = EVENTS[topic] | {"occurred_at": bound + timedelta(seconds=1)}
    for headers in ({}, {"Idempotency-Key": f"ahead-{topic}"}):
        answer = ingest.post(f"/v1/{topic}", early, headers)
        assert answer.status_code == 422
        error = answer.json()["error"]
        assert (error["code"], error["field"]) == ("ahead_of_clock", "occurred_at")
        assert f"{FUTURE_SECONDS_MAX + 1} s ahead" in error["message"]
        assert f"at most {FUTURE_SECONDS_MAX} s" in error["message"]
        assert "clock" in error["hint"]
    batch = ingest.post(f"/v1/{topic}/batch", {"events": [early, EVENTS[topic] | {"occurred_at": bound}]}).json()
    assert [item["status"] for item in batch["items"]] == [422, 202]
    assert batch["items"][0]["error"]["field"] == "events[0].occurred_at"
    assert [event.occurred_at for event in ingest.events(topic)] == [bound]


def test_the_bound_is_a_setting() -> None:
    early = payment_body(occurred_at=NOW + timedelta(seconds=2))
    with serving(headrace_future_seconds_max=1) as strict, serving(headrace_future_seconds_max=2) as lenient:
        assert strict.post("/v1/transactions", early).status_code == 422
        assert lenient.post("/v1/transactions", early).status_code == 202
