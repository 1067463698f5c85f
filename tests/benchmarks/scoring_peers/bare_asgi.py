"""The floor of HTTP: an ASGI function that reads a request and answers what it always answers, as long as a decision."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

EXAMPLE = Path(__file__).parents[3] / "shared" / "contracts" / "examples" / "scores" / "declined.json"
ANSWER = msgspec.json.format(EXAMPLE.read_bytes(), indent=-1)
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(ANSWER)).encode())]


async def app(
    _scope: Mapping[str, Any],
    receive: Callable[[], Awaitable[Mapping[str, Any]]],
    send: Callable[[Mapping[str, Any]], Awaitable[None]],
) -> None:
    """Answer one request."""
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})
