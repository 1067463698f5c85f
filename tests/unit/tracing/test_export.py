"""Spans on their way to a collector: nothing waits for it, and what it does not get is counted."""

import socket
import threading
from collections.abc import Sequence
from functools import partial

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased

from shared.contracts.ids import new_trace_id
from shared.runtime import metrics
from shared.runtime.tracing.acting import acting_for, step
from shared.runtime.tracing.export import Outlet, exporting
from tests.collector import collecting
from tests.unit.scoring.scoring_scene import wait_until

OUTCOMES = ("exported", "queue_full", "not_taken")


def counts() -> dict[str, float]:
    return {outcome: metrics.SPANS.labels(outcome)._value.get() for outcome in OUTCOMES}


def since(before: dict[str, float]) -> dict[str, float]:
    return {outcome: count - before[outcome] for outcome, count in counts().items() if count != before[outcome]}


def has_changed(before: dict[str, float], told: dict[str, float]) -> bool:
    return since(before) != told


class Gated(SpanExporter):
    """Takes spans once its gate is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.names: list[str] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.gate.wait()
        self.names += [span.name for span in spans]
        return SpanExportResult.SUCCESS


def test_what_a_full_queue_has_no_room_for_is_lost_and_counted_and_nobody_waits() -> None:
    before, exporter = counts(), Gated()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Outlet(exporter, waiting_max=10))
    tracer = provider.get_tracer("test")
    for number in range(25):
        tracer.start_span(str(number)).end()
    assert since(before) == {"queue_full": 15}
    exporter.gate.set()
    wait_until(lambda: len(exporter.names) == 10, "what had room is exported")
    wait_until(lambda: since(before) == {"queue_full": 15, "exported": 10}, "room is given back")
    tracer.start_span("after").end()
    provider.shutdown()
    assert exporter.names == [*map(str, range(10)), "after"]


def test_a_collector_that_never_answers_does_not_keep_a_process_from_ending() -> None:
    before = counts()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        tracing = exporting("test", "0", endpoint, sampled_share=1.0, seconds_max=0.3)
        for _ in range(1_500):
            tracing.begin("lost", "internal", {}, new_trace_id()).end()
        tracing.close()
    # Three batches: asked for the first, given up for the others.
    assert since(before) == {"not_taken": 1_500}


def test_a_collector_that_refuses_and_comes_back_is_told_of_twice(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "shared.runtime.tracing.export")
    before = counts()
    with collecting() as collector:
        collector.status = 400
        tracing = exporting("test", "0", collector.endpoint, sampled_share=1.0)
        for _ in range(2):
            told = since(before)
            tracing.begin("lost", "internal", {}, new_trace_id()).end()
            wait_until(partial(has_changed, before, told), "it is refused")
        collector.status = 200
        trace_id = new_trace_id()
        tracing.begin("taken", "internal", {}, trace_id).end()
        tracing.close()
        assert [span.name for span in collector.trace(trace_id, 1)] == ["taken"]
    assert since(before) == {"not_taken": 2, "exported": 1}
    assert [record.message.split(";")[0] for record in caplog.records] == [
        "the collector takes no spans",
        "the collector takes spans again",
    ]


def test_the_same_traces_are_sampled_as_by_every_other_sampler_of_that_share() -> None:
    theirs = TraceIdRatioBased(0.25)
    with collecting() as collector:
        tracing = exporting("test", "0", collector.endpoint, sampled_share=0.25)
        ids = [new_trace_id() for _ in range(2_000)]
        sampled = {trace_id for trace_id in ids if tracing.samples(trace_id)}
        assert sampled == {
            trace_id
            for trace_id in ids
            if theirs.should_sample(None, int(trace_id, 16), "").decision is Decision.RECORD_AND_SAMPLE
        }
        tracing.close()
    assert 350 < len(sampled) < 650


def test_a_step_is_a_span_of_every_record_in_work_and_fails_with_what_it_did() -> None:
    with collecting() as collector:
        tracing = exporting("test", "0", collector.endpoint, sampled_share=1.0)
        ids = [new_trace_id() for _ in range(3)]
        spans = tuple(tracing.begin("process", "consumer", {}, trace_id) for trace_id in ids)
        with pytest.raises(OSError, match="card-4711"), acting_for(spans), step("write", {"rows": 3}):
            raise OSError("card-4711 does not fit")
        tracing.close()
        for trace_id in ids:
            process, write = collector.trace(trace_id, 2)
            assert (process.name, write.name, write.parent_id) == ("process", "write", process.span_id)
            assert process.has_failed
            assert write.has_failed
            assert write.attributes == {"rows": 3, "error.type": "OSError"}
            assert "card-4711" not in f"{process}{write.attributes}"
