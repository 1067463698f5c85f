"""Answers over HTTP, counted by class of status; those to probes and scrapes are not what anybody called for."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.runtime import metrics

_CLASSES = range(2, 6)
_OPERATIONS = ("/health/", "/metrics")


def counted(app: ASGIApp, service: str) -> ASGIApp:
    """Return `app`, whose every answer is counted; where it raises before it answers, a server error is."""
    by_class = {each: metrics.HTTP_RESPONSES.labels(service, f"{each}xx") for each in _CLASSES}

    async def count(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(_OPERATIONS):
            await app(scope, receive, send)
            return
        is_answered = False

        async def sending(message: Message) -> None:
            nonlocal is_answered
            if message["type"] == "http.response.start":
                is_answered = True
                by_class[message["status"] // 100].inc()
            await send(message)

        try:
            await app(scope, receive, sending)
        except Exception:
            if not is_answered:
                by_class[5].inc()
            raise

    return count
