"""What each setting is, for the pages that list them: derived from the classes that read them."""

import json
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

from shared.runtime.settings import ServiceSettings

_TYPES = {"integer": "whole number", "number": "number", "boolean": "true or false", "object": "JSON object"}
_TEXTS = {"path": "path", "file-path": "path of a file that exists", "uri": "URL"}
_BOUNDS = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most", "exclusiveMaximum": "below"}


class DescribedSetting(NamedTuple):
    """One setting, in words.

    variable: its name in the environment. kind: its type. allowed: its bounds or choices; empty for any value of its
    type. default: as it would be given; None where it is unset or found at start.
    """

    variable: str
    kind: str
    allowed: str
    default: str | None
    meaning: str


def described(settings: type[ServiceSettings]) -> list[DescribedSetting]:
    """Return the settings that a class adds to those of every service; for ServiceSettings itself, all of these."""
    shared = () if settings is ServiceSettings else tuple(ServiceSettings.model_fields)
    schemas = settings.model_json_schema()["properties"]
    return [
        DescribedSetting(
            variable=name.upper(),
            kind=_kind(schema := _given(schemas[name])),
            allowed=", ".join(_allowed(schema)),
            default=None if field.default_factory else _default(field.default),
            meaning=field.description or "",
        )
        for name, field in settings.model_fields.items()
        if name not in shared
    ]


def _given(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of a value that is given: of an optional setting, without the one for none."""
    return next((one for one in schema.get("anyOf", ()) if one.get("type") != "null"), schema)


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "choice"
    return _TYPES.get(schema["type"]) or _TEXTS.get(schema.get("format", ""), "text")


def _allowed(schema: Mapping[str, Any]) -> Iterator[str]:
    if "enum" in schema:
        yield ", ".join(schema["enum"])
    for bound, told in _BOUNDS.items():
        if bound in schema:
            yield f"{told} {schema[bound]:,g}" if isinstance(schema[bound], float) else f"{told} {schema[bound]:,}"
    if "pattern" in schema:
        yield f"matches {schema['pattern']}"
    if schema["type"] == "string" and "maxLength" in schema and "format" not in schema:
        yield f"at most {schema['maxLength']} characters"
    if "propertyNames" in schema:
        yield f"of {', '.join(schema['propertyNames']['enum'])}"


def _default(value: object) -> str | None:
    match value:
        case None:
            return None
        case bool():
            return str(value).lower()
        case str() | PurePath():
            return str(value)
        case float():
            return f"{value:g}" if abs(value) < 1e6 else f"{value:.0f}"
        case _:
            return json.dumps(value)
