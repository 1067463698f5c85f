"""Paths that are answered by an ASGI function in front of the router.

FastAPI's way to an endpoint costs as much as everything that is done for the answer.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from starlette.types import Receive, Scope, Send

from shared.intake.http import DescribedApi, refusal
from shared.intake.problems import IntakeError

Answering = Callable[[Scope, Receive], Awaitable[bytes]]
"""Returns the JSON of an answer; raises IntakeError."""


class HotRoute(NamedTuple):
    """Calls that do not go to the router: `method` on `path`, or one step below it.

    takes_query: also with a query string; else the router gets those.
    """

    method: str
    path: str
    answer: Answering
    is_below: bool = False
    takes_query: bool = True

    def takes(self, scope: Scope) -> bool:
        """Tell whether this call is one of them."""
        if scope["method"] != self.method or (scope["query_string"] and not self.takes_query):
            return False
        if not self.is_below:
            return bool(scope["path"] == self.path)
        # What stands escaped in an id is no step; only the path as it was sent tells.
        above, _, name = scope["raw_path"].rpartition(b"/")
        return bool(name) and above.decode("latin-1") == self.path


class HotApi(DescribedApi):
    """An API that has some calls answered before its router sees them; it describes them all the same."""

    def __init__(self, routes: Sequence[HotRoute], *, schemas: Mapping[str, Any], title: str, description: str) -> None:
        super().__init__(schemas=schemas, title=title, description=description)
        self._hot_routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI says."""
        if scope["type"] == "http":
            for route in self._hot_routes:
                if route.takes(scope):
                    # As the router does: a span is named by it.
                    scope["route"] = route
                    await _answer(route, scope, receive, send)
                    return
        await super().__call__(scope, receive, send)


async def _answer(route: HotRoute, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        body = await route.answer(scope, receive)
    except IntakeError as error:
        await refusal(error)(scope, receive, send)
        return
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": headers})
    await send({"type": "http.response.body", "body": body})
