"""One payment, one trace, between processes: over HTTP, and in the headers of real records."""

from collections.abc import Iterator

import httpx
import pytest

from services.local.platform import Platform
from shared.contracts.ids import new_trace_id
from tests.collector import Collector, collecting

pytestmark = pytest.mark.servers

CALLER = "00f067aa0ba902b7"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


def test_a_payment_is_one_trace_through_three_processes(
    tmp_path_factory: pytest.TempPathFactory, collector: Collector
) -> None:
    settings = {"HEADRACE_TRACES_ENDPOINT": collector.endpoint, "HEADRACE_TRACES_SAMPLED_SHARE": "0"}
    services = ["ingest", "features", "scoring"]
    with Platform(tmp_path_factory.mktemp("platform"), settings, services) as platform:
        platform.start(print)
        trace_id, unsampled = new_trace_id(), new_trace_id()
        for each, flags in ((unsampled, "00"), (trace_id, "01")):
            answer = httpx.post(
                f"{platform.addresses.services['ingest']}/v1/transactions",
                json={
                    "occurred_at": "2026-03-02T11:59:00Z",
                    "transaction_id": each,
                    "card_id": "card-1",
                    "merchant_id": "merchant-1",
                    "amount": 1999,
                    "currency": "EUR",
                    "channel": "ecommerce",
                    "country": "DE",
                    "mcc": "5411",
                },
                headers={"traceparent": f"00-{each}-{CALLER}-{flags}"},
                timeout=30,
            )
            assert answer.json()["trace_id"] == each
        spans = collector.trace(trace_id, 8)
    names = {span.span_id: span.name for span in spans}
    assert [(span.service, span.name, names.get(span.parent_id, span.parent_id)) for span in spans] == [
        ("ingest", "POST /v1/transactions", CALLER),
        ("ingest", "send transactions", "POST /v1/transactions"),
        ("features", "process transactions", "send transactions"),
        ("features", "append_and_read", "process transactions"),
        ("features", "commit", "process transactions"),
        ("scoring", "process features", "process transactions"),
        ("scoring", "append_and_read", "process features"),
        ("scoring", "commit", "process features"),
    ]
    assert {span.trace_id for span in collector.spans} == {trace_id}
