"""How ingest's paths are described: bodies and answers from the types that decode and encode them."""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from services.ingest.answers import Accepted, BatchAnswer
from shared.intake.http import REFERENCE, TRACEPARENT, ErrorAnswer, described, merged_schemas, reference
from shared.intake.posted import POSTED, PUT, Posted

_, _ANSWERS = msgspec.json.schema_components([Accepted, BatchAnswer, ErrorAnswer], ref_template=REFERENCE)
SCHEMAS = merged_schemas(*(kind.schemas for kind in (*POSTED, *PUT)), _ANSWERS)

_REFUSALS = {
    400: "Not JSON.",
    404: "The id has a line feed in it, which no path has.",
    409: "The Idempotency-Key belongs to another body.",
    413: "The body is too large.",
    422: "A field is missing, unknown or wrong; the answer names it.",
    503: "The log or the store is away or busy: retry with the same id after Retry-After seconds.",
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "Names this event, where the body has no event_id: a repeat under the same key changes nothing.",
}


def one_operation(posted: Posted) -> dict[str, Any]:
    """Return how the path that takes one event is described."""
    name = posted.topic.event.__name__
    return _operation(
        f"Take one {name.lower()} in",
        f"post_{name.lower()}",
        reference(posted.event_type),
        Accepted,
        [_IDEMPOTENCY_KEY, TRACEPARENT],
    )


def batch_operation(posted: Posted) -> dict[str, Any]:
    """Return how the path that takes many events is described."""
    name = posted.topic.event.__name__
    body = {
        "type": "object",
        "properties": {"events": {"type": "array", "items": reference(posted.event_type)}},
        "required": ["events"],
        "additionalProperties": False,
    }
    summary = f"Take many {name.lower()}s in; each is answered on its own"
    return _operation(summary, f"post_{name.lower()}_batch", body, BatchAnswer, [TRACEPARENT])


def put_operation(put: Posted) -> dict[str, Any]:
    """Return how the path of an item or a user is described that puts it."""
    return _operation(
        f"Tell all that is known of this {_name(put)} from now on",
        f"put_{_name(put)}",
        reference(put.event_type),
        Accepted,
        [_path_parameter(put), TRACEPARENT],
        refusals={400, 404, 413, 422, 503},
    )


def delete_operation(put: Posted) -> dict[str, Any]:
    """Return how the path of an item or a user is described that deletes it."""
    return _operation(
        f"Delete this {_name(put)}, known or not",
        f"delete_{_name(put)}",
        None,
        Accepted,
        [_path_parameter(put), TRACEPARENT],
        refusals={404, 422, 503},
    )


def _name(put: Posted) -> str:
    return put.topic.event.__name__.lower()


def _path_parameter(put: Posted) -> dict[str, Any]:
    key = put.topic.key
    return {"name": key, "in": "path", "required": True, "schema": put.schema["properties"][key]}


def _operation(
    summary: str,
    operation_id: str,
    body: Mapping[str, Any] | None,
    answer: type,
    parameters: list[dict[str, Any]],
    *,
    refusals: Collection[int] = frozenset(_REFUSALS) - {404},
) -> dict[str, Any]:
    refused = {status: (text, ErrorAnswer) for status, text in _REFUSALS.items() if status in refusals}
    answers = {202: ("On the log.", answer)} | refused
    return {"summary": summary, "operation_id": operation_id} | described(body, answers, parameters)
