"""Events as clients post them: derived from the contracts, with the envelope's fields optional."""

import typing
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from shared.contracts.events import Event
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import INTERACTIONS, LABELS, TRANSACTIONS, Topic

# What makes two posts the same event when the client gives no id.
_NATURAL_KEYS: dict[str, tuple[str, ...]] = {
    TRANSACTIONS.name: ("transaction_id",),
    LABELS.name: ("transaction_id", "source", "occurred_at", "label"),
    INTERACTIONS.name: ("user_id", "item_id", "kind", "session_id", "occurred_at"),
}


@dataclass(frozen=True)
class Posted:
    """One kind of event that clients post.

    event_type: the event with `event_id`, `schema_version` and `trace_id` optional; its fields stand in the
        event's order, so that once filled it encodes to the event's own bytes.
    schemas: JSON Schemas by name, `event_type`'s among them, that refer to each other as OpenAPI components.
    """

    topic: Topic
    event_type: type[Struct]
    decoder: msgspec.json.Decoder[Any]
    schemas: Mapping[str, Any]

    @property
    def schema(self) -> Mapping[str, Any]:
        """JSON Schema of the event as posted."""
        schema: Mapping[str, Any] = self.schemas[self.event_type.__name__]
        return schema

    def natural_id(self, event: Any) -> str:
        """Return the id that every post of this same event has."""
        words = (_word(getattr(event, name)) for name in _NATURAL_KEYS[self.topic.name])
        return derived_event_id(event.occurred_at, self.topic.name, *words)


def _word(value: str | datetime | None) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return value or ""


def _posted(topic: Topic) -> Posted:
    event_type = msgspec.defstruct(
        f"Posted{topic.event.__name__}",
        list(_fields(topic.event)),
        kw_only=True,
        forbid_unknown_fields=True,
        namespace={"__doc__": topic.event.__doc__},
    )
    _, schemas = msgspec.json.schema_components([event_type], ref_template="#/components/schemas/{name}")
    return Posted(topic, event_type, msgspec.json.Decoder(event_type), schemas)


def _fields(event: type[Event]) -> typing.Iterator[tuple[str, Any, Any]]:
    types = typing.get_type_hints(event, include_extras=True)
    for field in msgspec.structs.fields(event):
        if field.name in {"event_id", "trace_id"}:
            yield field.name, types[field.name] | UnsetType, UNSET
        elif field.default_factory is not msgspec.NODEFAULT:
            yield field.name, types[field.name], msgspec.field(default_factory=field.default_factory)
        elif field.default is not msgspec.NODEFAULT:
            yield field.name, types[field.name], field.default
        else:
            yield field.name, types[field.name], msgspec.NODEFAULT


POSTED: tuple[Posted, ...] = tuple(map(_posted, (TRANSACTIONS, LABELS, INTERACTIONS)))
