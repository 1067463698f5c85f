"""REST: one path for one event and one for a batch, for each kind of event that clients post."""

import re
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from services.ingest.answers import ErrorAnswer
from services.ingest.intake import Intake
from services.ingest.openapi import IngestApi, batch_operation, one_operation
from services.ingest.posted import POSTED, Posted
from services.ingest.problems import IngestError, MalformedError, Problem, TooLargeError

_TRACEPARENT = re.compile(r"^(?!ff)[0-9a-f]{2}-(?!0{32})(?P<trace_id>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_KEY_CHARACTERS_MAX = 255

_encoder = msgspec.json.Encoder()
Endpoint = Callable[[Request], Awaitable[Response]]


def ingest_api(intake: Intake, *, event_bytes_max: int, batch_bytes_max: int) -> FastAPI:
    """Return the app."""
    app = IngestApi(title="Headrace ingest", description="Takes events in and puts them on the log.")
    for posted in POSTED:
        path = f"/v1/{posted.topic.name}"
        one = _one_endpoint(intake, posted, event_bytes_max)
        many = _batch_endpoint(intake, posted, batch_bytes_max)
        app.post(path, tags=["events"], status_code=202, **one_operation(posted))(one)
        app.post(f"{path}/batch", tags=["events"], status_code=202, **batch_operation(posted))(many)
    app.add_exception_handler(IngestError, _ingest_error)
    app.add_exception_handler(HTTPException, _http_error)
    return app


def _one_endpoint(intake: Intake, posted: Posted, bytes_max: int) -> Endpoint:
    async def take_one(request: Request) -> Response:
        body = await _body(request, bytes_max)
        accepted = await intake.take_one(
            posted, body, trace_id=_trace_id(request), idempotency_key=_idempotency_key(request)
        )
        return _json(accepted, HTTPStatus.ACCEPTED)

    return take_one


def _batch_endpoint(intake: Intake, posted: Posted, bytes_max: int) -> Endpoint:
    async def take_many(request: Request) -> Response:
        body = await _body(request, bytes_max)
        return _json(await intake.take_many(posted, body, trace_id=_trace_id(request)), HTTPStatus.ACCEPTED)

    return take_many


async def _body(request: Request, bytes_max: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > bytes_max:
                raise TooLargeError(
                    "too_large",
                    f"the body is larger than {bytes_max} bytes",
                    hint="Send smaller batches." if request.url.path.endswith("/batch") else "Send smaller attributes.",
                )
            chunks.append(chunk)
    except ClientDisconnect as error:
        raise MalformedError("incomplete", "the client left before the body was complete") from error
    return b"".join(chunks)


def _trace_id(request: Request) -> str | None:
    # W3C Trace Context: a traceparent that cannot be read is ignored, and the trace starts here.
    match = _TRACEPARENT.match(request.headers.get("traceparent", ""))
    return match["trace_id"] if match else None


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("idempotency-key")
    if key is not None and not 1 <= len(key) <= _KEY_CHARACTERS_MAX:
        raise MalformedError(
            "invalid_header",
            f"an Idempotency-Key has 1 to {_KEY_CHARACTERS_MAX} characters",
            field="Idempotency-Key",
            hint="Send a UUID, or leave the header out: the event's own fields then tell repeats apart.",
        )
    return key


async def _ingest_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, IngestError)  # noqa: S101 - registered for this type only
    response = _json(ErrorAnswer(error=error.problem), error.status)
    if error.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type only
    status = HTTPStatus(error.status_code)
    problem = Problem(
        code=status.name.lower(),
        message=f"{request.method} {request.url.path}: {error.detail}",
        hint="See /docs for the paths there are, and what each takes.",
    )
    response = _json(ErrorAnswer(error=problem), status)
    response.headers.update(error.headers or {})
    return response


def _json(answer: Any, status: int) -> Response:
    return Response(_encoder.encode(answer), status_code=status, media_type="application/json")
