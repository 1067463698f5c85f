"""ingest on a real broker and a real Redis-protocol server."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.ingest.replay import ReplayPlan, replay
from shared.bus.base import Record, Tail
from shared.bus.kafka import KafkaBus
from shared.contracts.codec import decode_record
from shared.contracts.events import Transaction
from shared.contracts.ids import new_trace_id
from shared.contracts.topics import BY_NAME, TOPICS
from shared.runtime.clock import SystemClock
from shared.store.redis import RedisStore
from tests.unit.ingest.serving import Running, payment_body, serving

pytestmark = pytest.mark.servers

READ_SECONDS_MAX = 30.0


@pytest.fixture
def ingest(kafka_servers: str, redis_url: str) -> Iterator[Running]:
    bus = KafkaBus(kafka_servers, partitions=4)
    bus.create_topics(TOPICS)
    with serving(bus, RedisStore(redis_url, timeout_seconds=2.0), SystemClock()) as running:
        yield running


@pytest.fixture
def card() -> str:
    """A card of this test's own: the log is shared."""
    return f"card-{new_trace_id()}"


def payments(tail: Tail, card: str, count: int) -> list[Transaction]:
    """The next `count` payments of `card`, in the order of the log."""
    found: list[Transaction] = []
    deadline = time.monotonic() + READ_SECONDS_MAX
    while len(found) < count and time.monotonic() < deadline:
        found += [event for record in tail.poll(wait_seconds=0.5) if (event := _payment(record)).card_id == card]
    assert len(found) == count
    return found


def _payment(record: Record) -> Transaction:
    event = decode_record(BY_NAME[record.topic], record.key, record.value)
    assert isinstance(event, Transaction)
    return event


def test_what_was_answered_202_is_on_the_log_in_order(ingest: Running, card: str) -> None:
    tail = ingest.bus.tail(["transactions"], start="newest")
    events = [payment_body(transaction_id=f"{card}-{n}", card_id=card, amount=n) for n in range(500)]
    answer = ingest.post("/v1/transactions/batch", {"events": events}).json()
    assert answer["accepted"] == 500
    assert ingest.post("/v1/transactions", payment_body(card_id=card, amount=500)).status_code == 202
    read = payments(tail, card, 501)
    assert [payment.amount for payment in read] == list(range(501))
    assert [item["event_id"] for item in answer["items"]] == [payment.event_id for payment in read[:500]]


def test_a_key_is_remembered_in_redis(ingest: Running, card: str) -> None:
    key = {"Idempotency-Key": card}
    first, again = (ingest.post("/v1/transactions", payment_body(card_id=card), key) for _ in range(2))
    assert first.status_code == again.status_code == 202
    assert first.json()["event_id"] == again.json()["event_id"]
    assert ingest.post("/v1/transactions", payment_body(card_id=card, amount=1), key).status_code == 409


def test_a_file_is_replayed_onto_the_log(ingest: Running, card: str, tmp_path: Path) -> None:
    tail = ingest.bus.tail(["transactions"], start="newest")
    lines = [f"{card}-{n},2026-03-02 12:{n // 60:02}:{n % 60:02},{card},{n}\n" for n in range(300)]
    file = tmp_path / "payments.csv"
    file.write_text("transaction_id,occurred_at,card_id,amount\n" + "".join(lines))
    constants = {"merchant_id": "m", "currency": "EUR", "channel": "atm", "country": "DE", "mcc": "5411"}
    plan = ReplayPlan(file=file, constants=constants, batch_events=100)
    assert replay(plan, base_url=ingest.url, home=tmp_path).accepted == 300
    assert [payment.amount for payment in payments(tail, card, 300)] == list(range(300))


def test_without_a_broker_posts_get_503_and_the_process_is_not_ready() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        # Nothing speaks Kafka here, and nobody else can take the port.
        nowhere = f"127.0.0.1:{taken.getsockname()[1]}"
        with serving(KafkaBus(nowhere, partitions=4), wait_until_ready=False) as ingest:
            answers = []
            threads = [
                threading.Thread(target=lambda: answers.append(ingest.post("/v1/transactions", payment_body())))
                for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert [answer.status_code for answer in answers] == [503] * 4
            assert all("retry-after" in answer.headers for answer in answers)
            assert ingest.client.get("/health/ready").status_code == 503
