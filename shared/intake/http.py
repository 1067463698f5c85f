"""HTTP in front of the intake: bodies, traces, and the one place that turns a problem into an answer."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope

from shared.intake.problems import IntakeError, MalformedError, Problem, TooLargeError
from shared.runtime.tracing.calls import trace_id_of_call
from shared.runtime.tracing.context import context_of_call

REFERENCE = "#/components/schemas/{name}"
TRACEPARENT = {
    "name": "traceparent",
    "in": "header",
    "schema": {"type": "string"},
    "description": "W3C Trace Context; its trace-id becomes that of every event that carries none.",
}

_encoder = msgspec.json.Encoder()


class ErrorAnswer(Struct, frozen=True, kw_only=True):
    """The request as a whole was refused."""

    error: Problem


class DescribedApi(FastAPI):
    """FastAPI, with the schemas of bodies and answers that msgspec reads rather than pydantic, and our error answers.

    schemas: JSON Schemas by name, added to the OpenAPI document's components.
    """

    def __init__(self, *, schemas: Mapping[str, Any], title: str, description: str) -> None:
        super().__init__(title=title, description=description)
        self._schemas = schemas
        self.add_exception_handler(IntakeError, _intake_error)
        self.add_exception_handler(HTTPException, _http_error)

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        document = super().openapi()
        document.setdefault("components", {}).setdefault("schemas", {}).update(self._schemas)
        return document


def merged_schemas(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schemas of all parts by name.

    Raises:
        ValueError: two parts mean different things by one name; rename one of the types.
    """
    merged: dict[str, Any] = {}
    for part in parts:
        for name, schema in part.items():
            if merged.setdefault(name, schema) != schema:
                raise ValueError(f"two different schemas are called {name}: rename one of the types")
    return merged


def described(
    body: Mapping[str, Any] | None, answers: Mapping[int, tuple[str, type]], parameters: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return how an operation is described to FastAPI: its JSON body, if any, and by status what it answers."""
    request: dict[str, Any] = {"parameters": parameters}
    if body is not None:
        request["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return {
        "responses": {status: _response(text, answer) for status, (text, answer) in answers.items()},
        "openapi_extra": request,
    }


def reference(described_type: type) -> dict[str, str]:
    """Return a reference to a type's schema in the OpenAPI document."""
    return {"$ref": REFERENCE.format(name=described_type.__name__)}


async def body_of(request: Request, bytes_max: int) -> bytes:
    """Return a request's body; raises TooLargeError beyond `bytes_max`, MalformedError when the client left."""
    return await received(request.scope["path"], request.receive, bytes_max)


async def received(path: str, receive: Receive, bytes_max: int) -> bytes:
    """Return the body of a request as ASGI gives it; raises as `body_of`."""
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise MalformedError("incomplete", "the client left before the body was complete")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > bytes_max:
            raise TooLargeError(
                "too_large",
                f"the body is larger than {bytes_max} bytes",
                hint="Send smaller batches." if path.endswith("/batch") else "Send smaller attributes.",
            )
        if not message.get("more_body", False):
            return b"".join((*chunks, chunk)) if chunks else chunk
        chunks.append(chunk)


def trace_id_of(scope: Scope) -> str | None:
    """Return the trace id of a call, for the one event it is about; None where it is not traced and sent none."""
    return trace_id_of_call(scope) or sent_trace_id(scope)


def sent_trace_id(scope: Scope) -> str | None:
    """Return the trace-id of a call's traceparent, or None: one that cannot be read is ignored, as W3C has it."""
    context = context_of_call(scope["headers"])
    return context.trace_id if context else None


def refusal(error: IntakeError) -> Response:
    """Return what is answered to a request that was not taken."""
    response = json_answer(ErrorAnswer(error=error.problem), error.status)
    if error.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response


async def _intake_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, IntakeError)  # noqa: S101 - registered for this type only
    return refusal(error)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this type only
    status = HTTPStatus(error.status_code)
    problem = Problem(
        code=status.name.lower(),
        message=f"{request.method} {request.url.path}: {error.detail}",
        hint="See /docs for the paths there are, and what each takes.",
    )
    response = json_answer(ErrorAnswer(error=problem), status)
    response.headers.update(error.headers or {})
    return response


def json_answer(answer: Any, status: int) -> Response:
    """Return `answer` as JSON."""
    return Response(_encoder.encode(answer), status_code=status, media_type="application/json")


def _response(description: str, answer: type) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": reference(answer)}}}
