"""Calls over HTTP as spans."""

from typing import TYPE_CHECKING

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.contracts.ids import new_trace_id
from shared.runtime.tracing.acting import acting_for
from shared.runtime.tracing.context import TraceContext, context_of_call

if TYPE_CHECKING:
    from shared.runtime.tracing.spans import Traced, Tracing

_TRACED_PATHS = "/v1/"
_TRACE_ID = "headrace_trace_id"
_SERVER_ERROR = 500


def traced(app: ASGIApp, tracing: "Tracing") -> ASGIApp:
    """Return an app whose calls are spans where their trace is sampled: by the caller, else by the share set."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(_TRACED_PATHS):
            await app(scope, receive, send)
            return
        context = context_of_call(scope["headers"])
        trace_id = context.trace_id if context else new_trace_id()
        scope.setdefault("state", {})[_TRACE_ID] = trace_id
        span = _begun(tracing, scope, context, trace_id)
        if span is None:
            with acting_for((), trace_id):
                await app(scope, receive, send)
            return

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                _note(span, scope, message["status"])
            await send(message)

        with acting_for((span,), trace_id):
            await app(scope, receive, noting)

    return answer


def trace_id_of_call(scope: Scope) -> str | None:
    """Return the trace id of a call that may become a span, else None."""
    trace_id: str | None = scope.get("state", {}).get(_TRACE_ID)
    return trace_id


def _begun(tracing: "Tracing", scope: Scope, context: TraceContext | None, trace_id: str) -> "Traced | None":
    if not (context.is_sampled if context else tracing.samples(trace_id)):
        return None
    attributes = {"http.request.method": scope["method"], "url.scheme": scope.get("scheme", "http")}
    if context is not None:
        return tracing.go_on(scope["method"], "server", attributes, context)
    return tracing.begin(scope["method"], "server", attributes, trace_id)


def _note(span: "Traced", scope: Scope, status: int) -> None:
    """Name the call by its route: the path itself may name a shopper."""
    span.note({"http.response.status_code": status})
    path = getattr(scope.get("route"), "path", None)
    if path is not None:
        span.rename(f"{scope['method']} {path}")
        span.note({"http.route": path})
    if status >= _SERVER_ERROR:
        span.fail(str(status))
