"""How the paths that recommend are described: parameters, bodies and answers from the types that decode and encode."""

from typing import Any

import msgspec
from fastapi import Response
from msgspec import Struct

from services.scoring.recommendations.answers import RecommendationAnswer
from services.scoring.recommendations.questions import (
    PageQuery,
    PostedQuestion,
    PostedRanking,
    ShopperQuery,
    schema_of,
)
from shared.contracts.fields import Identifier
from shared.intake.http import REFERENCE, TRACEPARENT, ErrorAnswer, reference

_, RECOMMENDATION_SCHEMAS = msgspec.json.schema_components(
    [RecommendationAnswer, PostedQuestion, PostedRanking, ErrorAnswer], ref_template=REFERENCE
)

_CONTEXT = (
    "What is known of the moment is sent as context.NAME=VALUE, up to 32 times: `context.device=phone`. The attribute "
    "that the model tells segments by goes before the shopper's own."
)
_INVALID = (422, "A parameter or a field is unknown or wrong; the answer names it.")
_STARTING = (503, "It is not known yet what answers: retry after Retry-After seconds.")
_BODY_REFUSALS = ((400, "Not JSON."), (413, "The body is too large."), _INVALID, _STARTING)
_QUERY_REFUSALS = (_INVALID, _STARTING)


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": msgspec.json.schema(Identifier)}


def _in_query(kind: type[Struct]) -> list[dict[str, Any]]:
    """Return the parameters of a query string; what is sent under any name of its own is left to the description."""
    properties = schema_of(kind)["properties"]
    return [_parameter(name, described) for name, described in properties.items() if name != "context"]


def _parameter(name: str, described: dict[str, Any]) -> dict[str, Any]:
    # What may be left out is null in a body; in a query it is not there.
    schema = next((option for option in described.get("anyOf", ()) if option["type"] != "null"), described)
    told = described.get("description") or schema.get("description")
    schema = {key: value for key, value in schema.items() if key != "description"}
    return {"name": name, "in": "query", "required": False, "description": told, "schema": schema}


def _described(
    operation_id: str,
    summary: str,
    parameters: list[dict[str, Any]],
    refusals: tuple[tuple[int, str], ...],
    *,
    description: str | None = None,
    body: type[Struct] | None = None,
) -> dict[str, Any]:
    """Return how an operation is described to FastAPI."""
    answers: dict[int, tuple[str, type]] = {200: ("The items.", RecommendationAnswer)}
    answers |= {status: (text, ErrorAnswer) for status, text in refusals}
    extra: dict[str, Any] = {"parameters": [*parameters, TRACEPARENT]}
    if body is not None:
        extra["requestBody"] = {"required": True, "content": {"application/json": {"schema": reference(body)}}}
    return {
        "operation_id": operation_id,
        "summary": summary,
        "description": description,
        "tags": ["recommendations"],
        "response_class": Response,
        "responses": {
            status: {"description": text, "content": {"application/json": {"schema": reference(kind)}}}
            for status, (text, kind) in answers.items()
        },
        "openapi_extra": extra,
    }


FOR_USER = _described(
    "recommend",
    "Tell what a shopper should see next",
    [_in_path("user_id"), *_in_query(ShopperQuery)],
    _QUERY_REFUSALS,
    description=_CONTEXT,
)
POSTED = _described(
    "recommend_posted",
    "The same, for anybody: known, or by what was looked at just now; with rules of the caller's own",
    [],
    _BODY_REFUSALS,
    body=PostedQuestion,
)
SIMILAR = _described(
    "similar_items",
    "Tell what shoppers of an item see next",
    [_in_path("item_id"), *_in_query(PageQuery)],
    (*_QUERY_REFUSALS, (404, "Neither the model nor the catalogue knows the item.")),
)
POPULAR = _described("popular_items", "Tell what is popular now", _in_query(PageQuery), _QUERY_REFUSALS)
TRENDING = _described(
    "trending_items", "Tell what is asked for more than usual now", _in_query(PageQuery), _QUERY_REFUSALS
)
RANK = _described(
    "rank",
    "Put items of the caller's own in order: those that the model does not know last, those not available left out",
    [],
    _BODY_REFUSALS,
    body=PostedRanking,
)
