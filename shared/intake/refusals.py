"""msgspec's complaints, turned into the field that is wrong and what to do about it."""

import difflib
import re
from collections.abc import Mapping
from typing import Any

from shared.intake.problems import InvalidEventError

_PLACE = re.compile(r" - at (?:`key` in )?`\$\.?(?P<path>[^`]*)`$")
_MISSING = re.compile(r"missing required field `(?P<name>[^`]*)`")
_UNKNOWN = re.compile(r"unknown field `(?P<name>[^`]*)`")


def refused(error: Exception, schema: Mapping[str, Any]) -> InvalidEventError:
    """Return what a client is told about `error`, which came from decoding an event described by `schema`."""
    text = str(error)
    place = _PLACE.search(text)
    message = text[: place.start()] if place else text
    path = place["path"].removesuffix("[...]") if place else ""
    if missing := _MISSING.search(message):
        field = _joined(path, missing["name"])
        return InvalidEventError("missing_field", message, field=field, hint=_hint(field, schema))
    if unknown := _UNKNOWN.search(message):
        field = _joined(path, unknown["name"])
        hint = _spelling_hint(unknown["name"], list(schema["properties"]))
        return InvalidEventError("unknown_field", message, field=field, hint=hint)
    return InvalidEventError("invalid_field", message, field=path or None, hint=_hint(path, schema))


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _hint(field: str, schema: Mapping[str, Any]) -> str:
    if not field:
        return "Send one JSON object for each event."
    told = schema["properties"].get(field, {})
    choice = next((option for option in told.get("anyOf", ()) if "description" in option), told)
    if "description" in choice:
        return f"Send: {choice['description']}"
    if "enum" in choice:
        return f"Send one of: {', '.join(map(str, choice['enum']))}."
    return f"Send {field} as /openapi.json describes it in {schema['title']}."


def _spelling_hint(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    meant = f"Did you mean {close[0]}? " if close else ""
    own = "Data of your own goes into attributes. " if "attributes" in known else ""
    return f"{meant}{own}Known fields: {', '.join(known)}."
