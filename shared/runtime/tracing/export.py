"""Spans to a collector, over OTLP and HTTP; loaded only where traces are on.

Nobody waits for the collector. What it does not take in time is lost, counted, and said once.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from shared.runtime import metrics
from shared.runtime.tracing.spans import ChosenTraceId, Tracing

log = logging.getLogger(__name__)

WAITING_MAX = 4_096
"""Spans that wait for the collector; more are lost."""
BATCH_SPANS = 512
GATHER_SECONDS = 1.0
EXPORT_SECONDS_MAX = 3.0
"""For one batch, tries again included."""

_SPANS_PATH = "/v1/traces"
_EXPORTED, _QUEUE_FULL, _NOT_TAKEN = map(metrics.SPANS.labels, ("exported", "queue_full", "not_taken"))


def exporting(
    service: str, instance: str, endpoint: str, *, sampled_share: float, seconds_max: float = EXPORT_SECONDS_MAX
) -> Tracing:
    """Return what begins spans and has them exported to the collector at `endpoint`, a URL without path.

    seconds_max: for a batch; closing takes twice as long at most.
    The exporter's own variables OTEL_EXPORTER_OTLP_HEADERS and OTEL_EXPORTER_OTLP_CERTIFICATE apply.
    """
    # It would say the same with every batch.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    chosen = ChosenTraceId()
    exporter = OTLPSpanExporter(endpoint.rstrip("/") + _SPANS_PATH, timeout=seconds_max)
    outlet = Outlet(exporter, waiting_max=WAITING_MAX)
    provider = TracerProvider(
        # What is asked to begin a span was found to be sampled.
        sampler=ALWAYS_ON,
        resource=Resource.create(
            {
                "service.namespace": "headrace",
                "service.name": service,
                "service.instance.id": instance,
                "service.version": version("headrace"),
            }
        ),
        id_generator=_Ids(chosen),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(outlet)
    return Tracing(provider.get_tracer("headrace"), chosen, sampled_share=sampled_share, close=provider.shutdown)


class _Ids(RandomIdGenerator):
    def __init__(self, chosen: ChosenTraceId) -> None:
        self._chosen = chosen

    def generate_trace_id(self) -> int:
        return self._chosen.value

    def is_trace_id_random(self) -> bool:
        """Nobody knows how a client has made it."""
        return False


class Outlet(SpanProcessor):
    """Takes spans that have ended to an exporter, in batches and on a thread of its own; what is too much is lost."""

    def __init__(self, exporter: SpanExporter, *, waiting_max: int) -> None:
        """Wire it; waiting_max: spans, those being exported included."""
        self._waiting_max = waiting_max
        self._waiting = 0
        self._lock = threading.Lock()
        self._exporter = _Counting(exporter, self._let_go)
        self._batches = BatchSpanProcessor(
            self._exporter,
            max_queue_size=waiting_max,
            schedule_delay_millis=GATHER_SECONDS * 1000,
            max_export_batch_size=min(BATCH_SPANS, waiting_max),
        )

    def on_end(self, span: ReadableSpan) -> None:
        with self._lock:
            has_room = self._waiting < self._waiting_max
            self._waiting += has_room
        if has_room:
            self._batches.on_end(span)
        else:
            _QUEUE_FULL.inc()

    def shutdown(self) -> None:
        self._exporter.is_closing = True
        self._batches.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return bool(self._batches.force_flush(timeout_millis))

    def _let_go(self, count: int) -> None:
        with self._lock:
            self._waiting -= count


class _Counting(SpanExporter):
    """An exporter whose failures are counted, and said when they begin and when they are over."""

    def __init__(self, exporter: SpanExporter, let_go: Callable[[int], None]) -> None:
        self._exporter = exporter
        self._let_go = let_go
        self._is_away = self._is_given_up = False
        self.is_closing = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        is_closing = self.is_closing
        result = SpanExportResult.FAILURE if self._is_given_up else self._exporter.export(spans)
        self._let_go(len(spans))
        is_away = result is not SpanExportResult.SUCCESS
        # At the end an absent collector is asked once, not once a batch.
        self._is_given_up = is_closing and is_away
        (_NOT_TAKEN if is_away else _EXPORTED).inc(len(spans))
        if is_away and not self._is_away:
            log.warning("the collector takes no spans; they are lost, and nothing waits for it")
        elif self._is_away and not is_away:
            log.info("the collector takes spans again")
        self._is_away = is_away
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()
