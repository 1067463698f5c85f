"""What happens to one payment is one trace: through ingest, features and scoring, on the in-memory bus."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.local.inprocess import InProcessPlatform
from shared.bus.base import Outgoing
from shared.contracts import codec
from shared.contracts.events import DeadLetter, Decision
from shared.contracts.ids import new_trace_id
from shared.contracts.topics import TRANSACTIONS
from tests.collector import Collector, SeenSpan, collecting
from tests.events import payment

SERVICES = ["ingest", "features", "scoring"]
CALLER = "00f067aa0ba902b7"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[InProcessPlatform]:
    """A platform on which every trace that begins is sampled."""
    settings = {"HEADRACE_TRACES_ENDPOINT": collector.endpoint, "HEADRACE_TRACES_SAMPLED_SHARE": "1"}
    with InProcessPlatform(tmp_path_factory.mktemp("platform"), settings, SERVICES) as running:
        running.start(print)
        yield running


def post(platform: InProcessPlatform, path: str, sent: Any, traceparent: str | None = None) -> Any:
    service = "scoring" if path.startswith("/v1/score") else "ingest"
    headers = {"traceparent": traceparent} if traceparent else {}
    answer = httpx.post(f"{platform.addresses.services[service]}{path}", json=sent, headers=headers, timeout=30)
    assert answer.is_success, answer.text
    return answer.json()


def body(transaction_id: str) -> dict[str, Any]:
    event = payment(transaction_id)
    names = ("transaction_id", "card_id", "merchant_id", "amount", "currency", "channel", "country", "mcc")
    return {name: getattr(event, name) for name in names} | {"occurred_at": event.occurred_at.isoformat()}


def decision_on(platform: InProcessPlatform, transaction_id: str) -> Decision:
    tail = platform.bus().tail(["scores"], start="oldest")
    for _ in range(300):
        for record in tail.poll(wait_seconds=0.1):
            decision = codec.decode(Decision, record.value or b"")
            if decision.transaction_id == transaction_id:
                return decision
    raise AssertionError(f"nothing was decided on {transaction_id}")


def tree(spans: list[SeenSpan]) -> list[tuple[str, str, str, str]]:
    """Service, name and kind of each span, and the name of its parent, or the parent's id where it was not sent."""
    names = {span.span_id: span.name for span in spans}
    return [(span.service, span.name, span.kind, names.get(span.parent_id, span.parent_id)) for span in spans]


def test_a_payment_posted_with_a_traceparent_is_one_trace(platform: InProcessPlatform, collector: Collector) -> None:
    trace_id = new_trace_id()
    answer = post(platform, "/v1/transactions", body("p-1"), f"00-{trace_id}-{CALLER}-01")
    assert answer["trace_id"] == decision_on(platform, "p-1").trace_id == trace_id
    spans = collector.trace(trace_id, 8)
    assert tree(spans) == [
        ("ingest", "POST /v1/transactions", "server", CALLER),
        ("ingest", "send transactions", "producer", "POST /v1/transactions"),
        ("features", "process transactions", "consumer", "send transactions"),
        ("features", "append_and_read", "client", "process transactions"),
        ("features", "commit", "internal", "process transactions"),
        ("scoring", "process features", "consumer", "process transactions"),
        ("scoring", "append_and_read", "client", "process features"),
        ("scoring", "commit", "internal", "process features"),
    ]
    assert not any(span.has_failed for span in spans)
    read, decided = spans[2].attributes, spans[5].attributes
    assert read["messaging.destination.name"] == "transactions"
    assert read["messaging.consumer.group.name"] == "headrace-features-windows"
    assert {"messaging.kafka.offset", "messaging.destination.partition.id"} <= set(read)
    assert (decided["headrace.decision"], decided["headrace.degraded"]) == ("approve", "model")
    assert spans[0].attributes["http.response.status_code"] == 202


def test_a_call_without_a_traceparent_begins_the_trace_of_its_event(
    platform: InProcessPlatform, collector: Collector
) -> None:
    trace_id = post(platform, "/v1/transactions", body("p-2"))["trace_id"]
    spans = collector.trace(trace_id, 8)
    assert tree(spans)[0] == ("ingest", "POST /v1/transactions", "server", "")
    assert decision_on(platform, "p-2").trace_id == trace_id


def test_a_batch_is_a_trace_an_event_each_linked_to_the_call(platform: InProcessPlatform, collector: Collector) -> None:
    post(platform, "/v1/transactions/batch", {"events": [body(f"b-{n}") for n in range(3)]})
    traces = [decision_on(platform, f"b-{n}").trace_id for n in range(3)]
    assert len(set(traces)) == 3
    sent = [collector.trace(trace_id, 7)[0] for trace_id in traces]
    assert {(span.name, span.parent_id) for span in sent} == {("send transactions", "")}
    [call] = {link for span in sent for link in span.links}
    assert tree(collector.trace(call, 1)) == [("ingest", "POST /v1/transactions/batch", "server", "")]


def test_who_calls_decides_whether_the_trace_is_sampled(platform: InProcessPlatform, collector: Collector) -> None:
    quiet, seen = new_trace_id(), new_trace_id()
    post(platform, "/v1/transactions", body("p-3"), f"00-{quiet}-{CALLER}-00")
    assert decision_on(platform, "p-3").trace_id == quiet
    post(platform, "/v1/transactions", body("p-4"), f"00-{seen}-{CALLER}-01")
    collector.trace(seen, 8)
    assert quiet not in {span.trace_id for span in collector.spans}


def test_a_score_asked_over_rest_is_a_trace_of_its_steps(platform: InProcessPlatform, collector: Collector) -> None:
    trace_id = new_trace_id()
    answer = post(platform, "/v1/score", body("p-5"), f"00-{trace_id}-{CALLER}-01")
    spans = collector.trace(trace_id, 4)
    assert tree(spans) == [
        ("scoring", "POST /v1/score", "server", CALLER),
        ("scoring", "append_and_read", "client", "POST /v1/score"),
        ("scoring", "append_and_read", "client", "POST /v1/score"),
        ("scoring", "journal", "internal", "POST /v1/score"),
    ]
    assert spans[0].attributes["headrace.decision"] == answer["decision"]


def test_payments_scored_in_one_call_are_one_trace_of_what_was_done_for_all(
    platform: InProcessPlatform, collector: Collector
) -> None:
    trace_id = new_trace_id()
    post(platform, "/v1/score/batch", [body(f"s-{n}") for n in range(3)], f"00-{trace_id}-{CALLER}-01")
    spans = collector.trace(trace_id, 4)
    assert [span.name for span in spans] == ["POST /v1/score/batch", "append_and_read", "append_and_read", "journal"]


def test_a_question_for_items_names_no_shopper(platform: InProcessPlatform, collector: Collector) -> None:
    trace_id = new_trace_id()
    url = f"{platform.addresses.services['scoring']}/v1/recommendations/secret-user?n=3"
    answer = httpx.get(url, headers={"traceparent": f"00-{trace_id}-{CALLER}-01"})
    [call, *_] = collector.trace(trace_id, 1)
    assert (call.name, call.kind) == ("GET /v1/recommendations", "server")
    assert call.attributes["http.response.status_code"] == answer.status_code
    assert "secret-user" not in str(call)


def test_a_rejected_record_fails_its_span_and_its_dead_letter_goes_on_with_the_trace(
    platform: InProcessPlatform, collector: Collector
) -> None:
    trace_id = new_trace_id()
    headers = (("traceparent", f"00-{trace_id}-{CALLER}-01".encode()), ("theirs", b"x"))
    letters = platform.bus().tail([TRANSACTIONS.dead_letter_name], start="newest")
    platform.bus().publisher().send(Outgoing(TRANSACTIONS.name, b"card-1", b"not json", headers=headers))
    [record] = letters.poll(wait_seconds=30)
    spans = collector.trace(trace_id, 3)
    assert [span.name for span in spans if span.has_failed] == ["process transactions"]
    assert spans[0].attributes["error.type"] == "not_json"
    assert codec.decode(DeadLetter, record.value or b"").trace_id == trace_id
    assert record.headers == (("traceparent", f"00-{trace_id}-{spans[0].span_id}-01".encode()),)


def test_operations_are_not_traced(platform: InProcessPlatform, collector: Collector) -> None:
    trace_id = new_trace_id()
    httpx.get(f"{platform.addresses.services['ingest']}/metrics", headers={"traceparent": f"00-{trace_id}-{CALLER}-01"})
    collector.trace(post(platform, "/v1/transactions", body("p-6"))["trace_id"], 8)
    assert trace_id not in {span.trace_id for span in collector.spans}


def test_without_a_collector_there_are_no_spans_and_a_context_passes_through(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with InProcessPlatform(tmp_path, {}, SERVICES) as platform:
        platform.start(print)
        assert not [thread.name for thread in set(threading.enumerate()) - before if "Otel" in thread.name]
        scores = platform.bus().tail(["scores"], start="oldest")
        parent = (("traceparent", f"00-{new_trace_id()}-{CALLER}-01".encode()),)
        event = payment("p-7")
        platform.bus().publisher().send(
            Outgoing(
                TRANSACTIONS.name, event.card_id.encode(), codec.encode(event), headers=(*parent, ("theirs", b"x"))
            )
        )
        [record] = scores.poll(wait_seconds=30)
        assert record.headers == parent
        transactions = platform.bus().tail([TRANSACTIONS.name], start="newest")
        post(platform, "/v1/transactions", body("p-8"), f"00-{new_trace_id()}-{CALLER}-01")
        [posted] = transactions.poll(wait_seconds=30)
        assert posted.headers == ()


def test_a_collector_that_is_away_holds_nobody_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with collecting() as away:
        endpoint = away.endpoint
    settings = {"HEADRACE_TRACES_ENDPOINT": endpoint, "HEADRACE_TRACES_SAMPLED_SHARE": "1"}
    with InProcessPlatform(tmp_path, settings, SERVICES) as platform:
        platform.start(print)
        for number in range(5):
            post(platform, "/v1/transactions", body(f"a-{number}"))
            assert decision_on(platform, f"a-{number}")
    said = [record.message for record in caplog.records if "the collector takes no spans" in record.message]
    assert len(said) == len(SERVICES)
