"""Events as clients post or put them: derived from the contracts, with what the sender may leave out optional."""

import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import UNSET, Struct, UnsetType

from shared.contracts.events import Event
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import INTERACTIONS, ITEMS, LABELS, TRANSACTIONS, USERS, Topic

# What makes two posts the same event when the client gives no id.
_NATURAL_KEYS: dict[str, tuple[str, ...]] = {
    TRANSACTIONS.name: ("transaction_id",),
    LABELS.name: ("transaction_id", "source", "occurred_at", "label"),
    INTERACTIONS.name: ("user_id", "item_id", "kind", "session_id", "occurred_at"),
    ITEMS.name: ("item_id", "occurred_at"),
    USERS.name: ("user_id", "occurred_at"),
}
_FILLED_IN = frozenset({"event_id", "trace_id"})


@dataclass(frozen=True)
class Posted:
    """One kind of event that clients post or put.

    event_type: the event with `event_id`, `schema_version` and `trace_id` optional, and where it is put what the path
        and the clock tell; its fields stand in the event's order, so that once filled it encodes to the event's bytes.
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


def _posted(topic: Topic, name: str, optional: Collection[str]) -> Posted:
    event_type = msgspec.defstruct(
        name + topic.event.__name__,
        list(_fields(topic.event, optional)),
        kw_only=True,
        forbid_unknown_fields=True,
        namespace={"__doc__": topic.event.__doc__},
    )
    _, schemas = msgspec.json.schema_components([event_type], ref_template="#/components/schemas/{name}")
    return Posted(topic, event_type, msgspec.json.Decoder(event_type), schemas)


def _fields(event: type[Event], optional: Collection[str]) -> typing.Iterator[tuple[str, Any, Any]]:
    types = typing.get_type_hints(event, include_extras=True)
    for field in msgspec.structs.fields(event):
        if field.name in optional:
            yield field.name, types[field.name] | UnsetType, UNSET
        elif field.default_factory is not msgspec.NODEFAULT:
            yield field.name, types[field.name], msgspec.field(default_factory=field.default_factory)
        elif field.default is not msgspec.NODEFAULT:
            yield field.name, types[field.name], field.default
        else:
            yield field.name, types[field.name], msgspec.NODEFAULT


POSTED: tuple[Posted, ...] = tuple(
    _posted(topic, "Posted", _FILLED_IN) for topic in (TRANSACTIONS, LABELS, INTERACTIONS, ITEMS, USERS)
)
PUT: tuple[Posted, ...] = tuple(
    _posted(topic, "Put", {*_FILLED_IN, "occurred_at", topic.key}) for topic in (ITEMS, USERS)
)
"""What stands under a path of its own, replaced or deleted there."""
