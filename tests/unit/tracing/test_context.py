"""W3C Trace Context, read from whatever a client or a producer has written."""

import pytest

from shared.bus.base import HEADERS_BYTES_MAX, Headers, Record, headers_bytes
from shared.runtime.tracing.context import STATE_BYTES_MAX, TraceContext, context_in, context_of_call, headers_of
from shared.runtime.tracing.records import Reader, going_on

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"
READER = Reader("group", "instance")


def parent(text: str) -> Headers:
    return (("traceparent", text.encode("latin-1")),)


@pytest.mark.parametrize(
    ("text", "is_sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"00-{TRACE}-{SPAN}-fe", False),
        (f"cc-{TRACE}-{SPAN}-01-what-a-later-version-adds", True),
    ],
)
def test_a_traceparent_tells_the_trace_the_span_and_whether_it_is_sampled(text: str, is_sampled: bool) -> None:
    assert context_in(parent(text)) == TraceContext(TRACE, SPAN, is_sampled)
    assert context_of_call([(b"host", b"x"), (b"traceparent", text.encode())]) == TraceContext(TRACE, SPAN, is_sampled)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01\n",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-é1",
    ],
)
def test_what_is_no_traceparent_is_as_if_it_were_not_there(text: str) -> None:
    assert context_in(parent(text)) is None
    record = Record("transactions", 0, 0, b"k", b"v", 0, parent(text))
    assert going_on([record], None, READER) == ([record._replace(headers=())], ())


def test_a_context_written_is_the_one_read() -> None:
    for context in (TraceContext(TRACE, SPAN, True), TraceContext(TRACE, SPAN, False, "a=1,b=2")):
        assert context_in(headers_of(context)) == context


def test_states_of_several_headers_are_joined_and_one_that_is_too_long_is_left_out() -> None:
    own = parent(f"00-{TRACE}-{SPAN}-01")
    context = context_in((*own, ("tracestate", b"a=1"), ("tracestate", b"b=2")))
    assert context is not None
    assert context.state == "a=1,b=2"
    for state in (b"a=" + b"x" * STATE_BYTES_MAX, b"a=\xff"):
        context = context_in((*own, ("tracestate", state)))
        assert context is not None
        assert context.state == ""


def test_nothing_but_the_context_is_passed_on_however_much_a_producer_has_written() -> None:
    theirs = (("theirs", bytes(1_000_000)), ("tracestate", b"a=" + b"x" * (STATE_BYTES_MAX - 2)))
    headers = (*theirs, *parent(f"00-{TRACE}-{SPAN}-01"))
    [record], spans = going_on([Record("transactions", 0, 0, b"k", b"v", 0, headers)], None, READER)
    assert spans == ()
    assert [name for name, _ in record.headers] == ["traceparent", "tracestate"]
    assert headers_bytes(record.headers) < HEADERS_BYTES_MAX


def test_records_without_headers_stay_the_very_same() -> None:
    records = [Record("transactions", 0, n, b"k", b"v", 0) for n in range(3)]
    assert going_on(records, None, READER) == (records, ())
