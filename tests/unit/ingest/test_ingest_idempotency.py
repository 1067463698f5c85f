from datetime import timedelta

import pytest

from shared.contracts.ids import derived_event_id
from shared.runtime.clock import ManualClock
from shared.store.base import StoreUnavailableError
from shared.store.memory import MemoryStore
from tests.unit.ingest.serving import NOW, payment_body, serving

OWN_ID = derived_event_id(NOW, "chosen by the client")
KEY = {"Idempotency-Key": "order-17"}


class AwayStore(MemoryStore):
    """A store that does not answer."""

    def set_if_absent(self, key: str, value: bytes, *, expire_after: timedelta) -> bytes | None:  # noqa: ARG002
        raise StoreUnavailableError("the store is away")


def test_the_clients_own_id_is_kept() -> None:
    with serving() as ingest:
        answers = [ingest.post("/v1/transactions", payment_body(event_id=OWN_ID), KEY) for _ in range(2)]
        assert [answer.json()["event_id"] for answer in answers] == [OWN_ID, OWN_ID]
        assert {event.event_id for event in ingest.events("transactions")} == {OWN_ID}


def test_the_same_key_and_body_is_the_same_event() -> None:
    with serving() as ingest:
        first, second = (ingest.post("/v1/transactions", payment_body(), KEY) for _ in range(2))
        assert (first.status_code, second.status_code) == (202, 202)
        assert first.json()["event_id"] == second.json()["event_id"]
        assert {event.event_id for event in ingest.events("transactions")} == {first.json()["event_id"]}


def test_two_keys_are_two_events() -> None:
    with serving() as ingest:
        ids = {
            ingest.post("/v1/transactions", payment_body(), {"Idempotency-Key": key}).json()["event_id"]
            for key in ("order-17", "order-18")
        }
        assert len(ids) == 2


def test_a_key_used_for_another_body_is_a_conflict_and_nothing_is_taken() -> None:
    with serving() as ingest:
        assert ingest.post("/v1/transactions", payment_body(), KEY).status_code == 202
        answer = ingest.post("/v1/transactions", payment_body(amount=5), KEY)
        assert answer.status_code == 409
        assert answer.json()["error"]["field"] == "Idempotency-Key"
        assert "another body" in answer.json()["error"]["message"]
        assert len(ingest.events("transactions")) == 1


def test_a_key_belongs_to_one_kind_of_event() -> None:
    interaction = {"occurred_at": NOW, "user_id": "user-1", "item_id": "item-1", "kind": "view"}
    with serving() as ingest:
        assert ingest.post("/v1/transactions", payment_body(), KEY).status_code == 202
        assert ingest.post("/v1/interactions", interaction, KEY).status_code == 202


def test_a_key_is_forgotten_after_a_day() -> None:
    clock = ManualClock(NOW)
    with serving(clock=clock) as ingest:
        assert ingest.post("/v1/transactions", payment_body(), KEY).status_code == 202
        clock.advance(timedelta(hours=24))
        assert ingest.post("/v1/transactions", payment_body(amount=5), KEY).status_code == 202


def test_a_wrong_body_does_not_use_its_key_up() -> None:
    with serving() as ingest:
        assert ingest.post("/v1/transactions", payment_body(amount="x"), KEY).status_code == 422
        assert ingest.post("/v1/transactions", payment_body(), KEY).status_code == 202


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    with serving() as ingest:
        answer = ingest.post("/v1/transactions", payment_body(), {"Idempotency-Key": key})
        assert answer.status_code == 400
        assert answer.json()["error"]["field"] == "Idempotency-Key"


def test_without_the_store_a_key_cannot_be_honoured_but_other_posts_go_on() -> None:
    with serving(store=AwayStore(ManualClock(NOW))) as ingest:
        answer = ingest.post("/v1/transactions", payment_body(), KEY)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert "nothing was taken" in answer.json()["error"]["message"]
        assert ingest.events("transactions") == []
        assert ingest.post("/v1/transactions", payment_body()).status_code == 202
        assert ingest.post("/v1/transactions", payment_body(event_id=OWN_ID)).status_code == 202
