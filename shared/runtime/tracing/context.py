"""What a call or a record says of the trace it belongs to: W3C Trace Context (https://www.w3.org/TR/trace-context/)."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from shared.bus.base import Headers

STATE_BYTES_MAX = 512
"""More than this of what tracing systems have to tell each other is not passed on."""

_TRACEPARENT = re.compile(
    rb"(?P<version>(?!ff)[0-9a-f]{2})-(?!0{32})(?P<trace_id>[0-9a-f]{32})-(?!0{16})(?P<span_id>[0-9a-f]{16})"
    rb"-(?P<flags>[0-9a-f]{2})(?P<rest>-.*)?"
)
_SAMPLED = 1


class TraceContext(NamedTuple):
    """A span, as those who continue its trace know it.

    is_sampled: whoever began the trace decided that it is recorded. state: `tracestate`, not looked into.
    """

    trace_id: str
    span_id: str
    is_sampled: bool
    state: str = ""


def context_in(headers: Headers) -> TraceContext | None:
    """Return the context in the headers of a record; None where there is none that can be read."""
    return _context((name.encode(), value) for name, value in headers) if headers else None


def context_of_call(headers: Sequence[tuple[bytes, bytes]]) -> TraceContext | None:
    """Return the context in headers as ASGI gives them; None where there is none that can be read."""
    return _context(headers)


def headers_of(context: TraceContext) -> Headers:
    """Return the headers that tell `context`."""
    flags = _SAMPLED if context.is_sampled else 0
    parent = ("traceparent", f"00-{context.trace_id}-{context.span_id}-{flags:02x}".encode())
    return (parent, ("tracestate", context.state.encode())) if context.state else (parent,)


def _context(headers: Iterable[tuple[bytes, bytes]]) -> TraceContext | None:
    match, state = None, b""
    for name, value in headers:
        if name == b"traceparent" and match is None:
            match = _TRACEPARENT.fullmatch(value)
        elif name == b"tracestate":
            state = b",".join(filter(None, (state, value)))
    # Version 00 ends behind the flags; what a later one adds is not for us.
    if match is None or (match["rest"] and match["version"] == b"00"):
        return None
    passed_on = state.decode("latin-1") if len(state) <= STATE_BYTES_MAX and state.isascii() else ""
    is_sampled = bool(int(match["flags"], 16) & _SAMPLED)
    return TraceContext(match["trace_id"].decode(), match["span_id"].decode(), is_sampled, passed_on)
