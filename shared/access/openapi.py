"""Who may call, as an OpenAPI document tells it."""

from collections.abc import Mapping
from typing import Any

import msgspec

from shared.access.roles import Needed, Role, needed_role
from shared.intake.http import REFERENCE, ErrorAnswer, reference

_SCHEMES: dict[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer hr_...`"},
    "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "`X-API-Key: hr_...`"},
}
# A platform on one machine may have no keys, so a document that demanded one would be wrong there.
_EITHER_OR_NONE: list[dict[str, list[str]]] = [{"bearer": []}, {"api_key": []}, {}]
_, _SCHEMAS = msgspec.json.schema_components([ErrorAnswer], ref_template=REFERENCE)
_RETRY_AFTER = {"description": "Seconds; absent where it can never be taken.", "schema": {"type": "integer"}}


def with_access(document: dict[str, Any], roles_by_path: Mapping[str, Needed]) -> dict[str, Any]:
    """Return an OpenAPI document in which every operation tells how to show a key, and how it is refused."""
    paths = {
        path: {
            method: _guarded(operation, needed_role(roles_by_path, path, method.upper()))
            for method, operation in operations.items()
        }
        for path, operations in document["paths"].items()
    }
    if paths == document["paths"]:
        return document
    components = document.get("components", {})
    schemas = {**_SCHEMAS, **components.get("schemas", {})}
    return {**document, "paths": paths, "components": {**components, "schemas": schemas, "securitySchemes": _SCHEMES}}


def _guarded(operation: dict[str, Any], role: Role | None) -> dict[str, Any]:
    if role is None or "responses" not in operation:
        return operation
    refusals = {
        "401": _refusal("No API key, or none that is in force."),
        "403": _refusal(f"The key has not the role {role}."),
        "429": _refusal("More events than the key may send a second.") | {"headers": {"Retry-After": _RETRY_AFTER}},
    }
    return {**operation, "responses": {**operation["responses"], **refusals}, "security": _EITHER_OR_NONE}


def _refusal(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": reference(ErrorAnswer)}}}
