"""HTTP whose request line and headers have a greatest size; uvicorn's own protocol takes any."""

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shared.intake.http import ErrorAnswer
from shared.intake.problems import Problem

HEAD_BYTES_MAX = 32_768
"""Most bytes of the request line, headers and trailers together of one request."""

_BODY = msgspec.json.encode(
    ErrorAnswer(
        error=Problem(
            code="headers_too_large",
            message=f"the request line and headers are larger than {HEAD_BYTES_MAX} bytes",
            hint="Send fewer or shorter headers; data goes into the body.",
        )
    )
)
_ANSWER = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: application/json\r\n"
    b"connection: close\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
)


class _HeadTooLargeError(Exception):
    """Raised inside the parser, which then reads no further."""


class HeaderLimitedProtocol(HttpToolsProtocol):
    """Answers 431 and hangs up when a request's head is larger than HEAD_BYTES_MAX.

    The parser tells of a header once it is complete. So what came without it telling of anything counts as well, and
    one endless header, trailer or chunk extension is noticed before it is held.
    """

    _head_bytes = 0
    _untold_bytes = 0

    def data_received(self, data: bytes) -> None:
        self._untold_bytes += len(data)
        super().data_received(data)
        if self._untold_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self._hang_up()

    def on_message_begin(self) -> None:
        self._head_bytes = self._untold_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._untold_bytes = 0
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        if self._head_bytes > HEAD_BYTES_MAX:
            self._hang_up()
        else:
            super().send_400_response(msg)

    def _count(self, size: int) -> None:
        self._untold_bytes = 0
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES_MAX:
            raise _HeadTooLargeError

    def _hang_up(self) -> None:
        self.transport.write(_ANSWER)
        self.transport.close()
