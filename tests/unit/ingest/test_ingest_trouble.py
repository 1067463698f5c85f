"""The log is away, slow or silent: nothing is lost, and the client is told what to do."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from services.ingest.settings import IngestSettings
from shared.runtime.clock import ManualClock
from tests.unit.ingest.serving import NOW, FaultyBus, await_ready, payment_body, serving

BATCH = {"events": [payment_body(transaction_id=f"tx-{n}") for n in range(3)]}
POSTS: list[tuple[str, Any]] = [("/v1/transactions", payment_body()), ("/v1/transactions/batch", BATCH)]


def assert_retry_is_asked_for(answer: httpx.Response, *, code: str, told: str) -> None:
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    error = answer.json()["error"]
    assert error["code"] == code
    assert told in error["message"]
    assert "same id" in error["hint"]


@pytest.mark.parametrize(("path", "body"), POSTS)
def test_when_the_log_is_away_nothing_is_taken_until_it_is_back(path: str, body: Any) -> None:
    bus, clock = FaultyBus(), ManualClock(NOW)
    with serving(bus, clock=clock) as ingest:
        bus.away = True
        assert_retry_is_asked_for(ingest.post(path, body), code="bus_unavailable", told="nothing was taken")
        assert ingest.client.get("/health/ready").status_code == 503
        assert ingest.client.get("/health/live").status_code == 200
        bus.away = False
        # For a moment requests are still refused at once, rather than each waiting for a log that is not there.
        assert_retry_is_asked_for(ingest.post(path, body), code="bus_unavailable", told="nothing was taken")
        assert ingest.events("transactions") == []
        clock.advance(timedelta(seconds=2))
        assert ingest.post(path, body).status_code == 202
        assert ingest.client.get("/health/ready").status_code == 200


@pytest.mark.parametrize(("path", "body"), POSTS)
def test_what_the_log_did_not_acknowledge_may_be_sent_again(path: str, body: Any) -> None:
    bus = FaultyBus()
    with serving(bus) as ingest:
        bus.losing = True
        assert_retry_is_asked_for(ingest.post(path, body), code="unacknowledged", told="may or may not")
        bus.losing = False
        assert ingest.post(path, body).status_code == 202


def test_a_log_that_goes_away_within_a_batch_leaves_it_in_doubt_and_a_repeat_completes_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bus, clock = FaultyBus(), ManualClock(NOW)
    caplog.set_level("INFO", logger="shared.intake")
    with serving(bus, clock=clock) as ingest:
        bus.sends_left = 2
        answer = ingest.post("/v1/transactions/batch", BATCH)
        assert_retry_is_asked_for(answer, code="unacknowledged", told="may or may not")
        bus.sends_left = None
        clock.advance(timedelta(seconds=2))
        assert ingest.post("/v1/transactions/batch", BATCH).json()["accepted"] == 3
        assert len({event.event_id for event in ingest.events("transactions")}) == 3
    assert [
        record.message.partition(":")[0] for record in caplog.records if record.name.startswith("shared.intake")
    ] == [
        "the log does not take events",
        "the log takes events again",
    ]


def test_a_batch_without_a_good_event_is_answered_whatever_the_log_does() -> None:
    bus = FaultyBus()
    with serving(bus) as ingest:
        bus.away = True
        assert ingest.post("/v1/transactions/batch", {"events": [1]}).json()["rejected"] == 1


def test_a_log_that_answers_nobody_is_not_waited_for_without_end_nor_filled_without_bound() -> None:
    bus = FaultyBus()
    with serving(
        bus,
        headrace_ingest_acknowledge_seconds_max=0.05,
        headrace_ingest_outstanding_max=1,
        headrace_ingest_batch_events_max=1,
    ) as ingest:
        bus.silent = True
        answer = ingest.post("/v1/transactions", payment_body())
        assert_retry_is_asked_for(answer, code="unacknowledged", told="may or may not")
        answer = ingest.post("/v1/transactions", payment_body())
        assert_retry_is_asked_for(answer, code="overloaded", told="nothing was taken")
        bus.silent = False
        bus.unanswered[0].set_result(None)
        assert ingest.post("/v1/transactions", payment_body()).status_code == 202


def test_a_log_that_is_away_at_start_is_waited_for() -> None:
    bus = FaultyBus()
    bus.away = True
    with serving(bus, wait_until_ready=False) as ingest:
        ready = ingest.client.get("/health/ready")
        assert ready.status_code == 503
        assert "topics" in ready.json()["problems"]
        answer = ingest.post("/v1/transactions", payment_body())
        assert_retry_is_asked_for(answer, code="bus_unavailable", told="nothing was taken")
        bus.away = False
        await_ready(ingest.client)
        assert ingest.post("/v1/transactions", payment_body()).status_code == 202


def test_outcomes_are_counted() -> None:
    def counted(metrics: str, outcome: str) -> float:
        name = f'headrace_ingested_total{{outcome="{outcome}",topic="transactions"}} '
        return sum(float(line.removeprefix(name)) for line in metrics.splitlines() if line.startswith(name))

    bus = FaultyBus()
    with serving(bus) as ingest:
        before = ingest.client.get("/metrics").text
        ingest.post("/v1/transactions/batch", {"events": [payment_body(), payment_body(), 1]})
        ingest.post("/v1/transactions", payment_body(amount="x"))
        bus.away = True
        ingest.post("/v1/transactions", payment_body())
        after = ingest.client.get("/metrics").text
    grown = {
        outcome: counted(after, outcome) - counted(before, outcome)
        for outcome in ("accepted", "rejected", "unavailable")
    }
    assert grown == {"accepted": 2, "rejected": 2, "unavailable": 1}


def test_a_batch_that_could_never_fit_is_a_wrong_setting() -> None:
    with pytest.raises(ValueError, match="HEADRACE_INGEST_OUTSTANDING_MAX"):
        IngestSettings(headrace_ingest_outstanding_max=10)
