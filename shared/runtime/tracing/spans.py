"""Spans, begun with OpenTelemetry; loaded only where traces are on."""

import threading
from collections.abc import Callable, Mapping
from functools import cached_property

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from shared.bus.base import Headers
from shared.runtime.tracing.acting import Kind, Value
from shared.runtime.tracing.context import TraceContext, headers_of

_KINDS: dict[Kind, SpanKind] = {
    "server": SpanKind.SERVER,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
    "internal": SpanKind.INTERNAL,
}
_EMPTY = Context()


class Traced:
    """A span that is recorded."""

    def __init__(self, tracer: trace.Tracer, span: Span) -> None:
        self._tracer = tracer
        self._span = span

    @cached_property
    def context(self) -> TraceContext:
        """What others must know to continue the trace from here."""
        own = self._span.get_span_context()
        return TraceContext(f"{own.trace_id:032x}", f"{own.span_id:016x}", True, own.trace_state.to_header())

    @cached_property
    def headers(self) -> Headers:
        """The same as headers of a record."""
        return headers_of(self.context)

    def child(self, name: str, kind: Kind, attributes: Mapping[str, Value]) -> "Traced":
        """Begin a span below this one."""
        above = trace.set_span_in_context(self._span, _EMPTY)
        return Traced(self._tracer, self._tracer.start_span(name, above, _KINDS[kind], attributes))

    def rename(self, name: str) -> None:
        """Give it the name that is known only now."""
        self._span.update_name(name)

    def note(self, attributes: Mapping[str, Value]) -> None:
        """Add what became known."""
        self._span.set_attributes(attributes)

    def fail(self, error: BaseException | str) -> None:
        """Mark it as failed; the reason is told by the kind of error, which carries nothing of an event."""
        kind = error if isinstance(error, str) else type(error).__qualname__
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        """End it now, and have it exported."""
        self._span.end()


class ChosenTraceId(threading.local):
    """The id that the next trace begun by this thread gets; so an event's trace is found by its `trace_id`."""

    value = 0


class Tracing:
    """Begins a process's spans; who asks has found that the trace is sampled."""

    def __init__(
        self, tracer: trace.Tracer, chosen: ChosenTraceId, *, sampled_share: float, close: Callable[[], None]
    ) -> None:
        """Wire it; sampled_share: of the traces that begin here. close: exports what waits, within a bound of time."""
        self._tracer = tracer
        self._chosen = chosen
        self._bound = round(sampled_share * 2**64)
        self.close = close

    def samples(self, trace_id: str) -> bool:
        """Tell whether a trace that begins here is recorded: by its last 64 bits, as TraceIdRatioBased does."""
        return int(trace_id[16:], 16) < self._bound

    def begin(
        self, name: str, kind: Kind, attributes: Mapping[str, Value], trace_id: str, *, link: Traced | None = None
    ) -> Traced:
        """Begin a trace of that id; link: what it came of, in another trace."""
        links = [] if link is None else [Link(_span_context(link.context, is_remote=False))]
        self._chosen.value = int(trace_id, 16)
        return Traced(self._tracer, self._tracer.start_span(name, _EMPTY, _KINDS[kind], attributes, links))

    def go_on(self, name: str, kind: Kind, attributes: Mapping[str, Value], parent: TraceContext) -> Traced:
        """Begin a span below one of another process."""
        above = trace.set_span_in_context(NonRecordingSpan(_span_context(parent, is_remote=True)), _EMPTY)
        return Traced(self._tracer, self._tracer.start_span(name, above, _KINDS[kind], attributes))


def _span_context(context: TraceContext, *, is_remote: bool) -> SpanContext:
    return SpanContext(
        int(context.trace_id, 16),
        int(context.span_id, 16),
        is_remote=is_remote,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
        trace_state=TraceState.from_header([context.state]) if context.state else None,
    )
