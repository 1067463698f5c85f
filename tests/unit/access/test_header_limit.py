"""A head without end is refused before it is held, wherever in a request it comes."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from shared.access.header_limit import HEAD_BYTES_MAX
from tests.unit.access.listening import listening

GET = b"GET /health/live HTTP/1.1\r\nhost: x\r\n"
CHUNKED = b"POST /health/live HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n"
FILL = b"x" * 1_000


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with listening(tmp_path_factory.mktemp("home")) as port:
        yield port


def answered(port: int, sent: bytes) -> bytes:
    """Send, and return what comes back until the server hangs up; it may hang up before all is sent."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        received = b""
        # What was answered before the connection broke can still be read.
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
        with contextlib.suppress(ConnectionError):
            while got := connection.recv(65_536):
                received += got
        return received


def status(received: bytes) -> int:
    return int(received.split(b" ", 2)[1])


def test_a_large_head_that_is_not_too_large_is_answered(port: int) -> None:
    headers = b"".join(b"h%d: %b\r\n" % (n, FILL) for n in range(30))
    received = answered(port, GET + headers + b"connection: close\r\n\r\n")
    assert status(received) == 200


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(GET + b"".join(b"h%d: %b\r\n" % (n, FILL) for n in range(60)) + b"\r\n", id="many headers"),
        pytest.param(GET + b"h: " + FILL * 60 + b"\r\n\r\n", id="one header"),
        pytest.param(GET + b"h: " + FILL * 500, id="a header that never ends"),
        pytest.param(GET + FILL * 500, id="a name that never ends"),
        pytest.param(b"GET /" + FILL * 500, id="a path that never ends"),
        pytest.param(b"GET /" + FILL * 60 + b" HTTP/1.1\r\nhost: x\r\n\r\n", id="a path"),
    ],
)
def test_a_head_too_large_is_answered_431_and_the_connection_closed(port: int, head: bytes) -> None:
    received = answered(port, head)
    assert status(received) == 431
    assert b"headers_too_large" in received
    assert str(HEAD_BYTES_MAX).encode() in received
    assert received.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(b"0\r\n" + b"".join(b"t%d: %b\r\n" % (n, FILL) for n in range(500)), id="many trailers"),
        pytest.param(b"0\r\nt: " + FILL * 500, id="a trailer that never ends"),
        pytest.param(b"1;" + FILL * 500, id="a chunk extension that never ends"),
    ],
)
def test_what_never_ends_behind_the_head_ends_the_connection(port: int, tail: bytes) -> None:
    # The method is answered 405 at once; what matters is that the server hangs up instead of reading on.
    assert answered(port, CHUNKED + tail)


def test_many_small_requests_on_one_connection_are_all_answered(port: int) -> None:
    requests = (GET + b"h: " + FILL + b"\r\n\r\n") * 100 + GET + b"connection: close\r\n\r\n"
    assert answered(port, requests).count(b"HTTP/1.1 200 OK") == 101
