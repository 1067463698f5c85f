"""How ingest's paths are described: bodies and answers from the types that decode and encode them."""

from collections.abc import Mapping
from typing import Any

import msgspec

from services.ingest.answers import Accepted, BatchAnswer
from shared.intake.http import REFERENCE, TRACEPARENT, ErrorAnswer, described, reference
from shared.intake.posted import POSTED, Posted

_, _ANSWERS = msgspec.json.schema_components([Accepted, BatchAnswer, ErrorAnswer], ref_template=REFERENCE)
SCHEMAS: dict[str, Any] = {name: schema for posted in POSTED for name, schema in posted.schemas.items()} | _ANSWERS

_REFUSALS = {
    400: "Not JSON.",
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


def _operation(
    summary: str, operation_id: str, body: Mapping[str, Any], answer: type, parameters: list[dict[str, Any]]
) -> dict[str, Any]:
    answers = {202: ("On the log.", answer)} | {status: (text, ErrorAnswer) for status, text in _REFUSALS.items()}
    return {"summary": summary, "operation_id": operation_id} | described(body, answers, parameters)
