"""The OpenAPI document: bodies and answers are described from the types that decode and encode them."""

from collections.abc import Mapping
from typing import Any

import msgspec
from fastapi import FastAPI

from services.ingest.answers import Accepted, BatchAnswer, ErrorAnswer
from services.ingest.posted import POSTED, Posted

_REFERENCE = "#/components/schemas/{name}"
_, _ANSWERS = msgspec.json.schema_components([Accepted, BatchAnswer, ErrorAnswer], ref_template=_REFERENCE)

_REFUSALS = {
    400: "Not JSON.",
    409: "The Idempotency-Key belongs to another body.",
    413: "The body is too large.",
    422: "A field is missing, unknown or wrong; the answer names it.",
    503: "The log or the store is away or busy: retry with the same id after Retry-After seconds.",
}
_TRACEPARENT = {
    "name": "traceparent",
    "in": "header",
    "schema": {"type": "string"},
    "description": "W3C Trace Context; its trace-id becomes that of every event that carries none.",
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "Names this event, where the body has no event_id: a repeat under the same key changes nothing.",
}


class IngestApi(FastAPI):
    """FastAPI, with the schemas of bodies and answers that msgspec reads rather than pydantic."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        document = super().openapi()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for posted in POSTED:
            schemas.update(posted.schemas)
        schemas.update(_ANSWERS)
        return document


def one_operation(posted: Posted) -> dict[str, Any]:
    """Return how the path that takes one event is described."""
    name = posted.topic.event.__name__
    return _operation(
        f"Take one {name.lower()} in",
        f"post_{name.lower()}",
        _reference(posted.event_type),
        Accepted,
        [_IDEMPOTENCY_KEY, _TRACEPARENT],
    )


def batch_operation(posted: Posted) -> dict[str, Any]:
    """Return how the path that takes many events is described."""
    name = posted.topic.event.__name__
    body = {
        "type": "object",
        "properties": {"events": {"type": "array", "items": _reference(posted.event_type)}},
        "required": ["events"],
        "additionalProperties": False,
    }
    summary = f"Take many {name.lower()}s in; each is answered on its own"
    return _operation(summary, f"post_{name.lower()}_batch", body, BatchAnswer, [_TRACEPARENT])


def _operation(
    summary: str, operation_id: str, body: Mapping[str, Any], answer: type, parameters: list[dict[str, Any]]
) -> dict[str, Any]:
    refusals = {status: _response(text, ErrorAnswer) for status, text in _REFUSALS.items()}
    return {
        "summary": summary,
        "operation_id": operation_id,
        "responses": {202: _response("On the log.", answer)} | refusals,
        "openapi_extra": {
            "parameters": parameters,
            "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        },
    }


def _response(description: str, answer: type) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": _reference(answer)}}}


def _reference(described: type) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(name=described.__name__)}
