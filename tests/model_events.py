"""Events about models, with every field a test does not care about filled in."""

from collections.abc import Iterable
from typing import Any, Literal

from msgspec.structs import replace

from shared.contracts import codec
from shared.contracts.chain import link
from shared.contracts.events import ModelEvent
from shared.contracts.ids import derived_event_id
from tests.events import START, TRACE_ID

Action = Literal["registered", "promoted", "refused", "shadowed", "canaried", "withdrawn", "rolled_back", "archived"]


def model_event(action: Action, version: int = 1, *, name: str = "", **fields: Any) -> ModelEvent:
    """Return one event; `name` tells it from others of the same action and version."""
    defaults: dict[str, Any] = {
        "event_id": derived_event_id(START, "model", action, str(version), name),
        "occurred_at": START,
        "trace_id": TRACE_ID,
        "model_name": "fraud",
        "model_version": version,
        "action": action,
        "model_digest": f"{version:064x}",
        "feature_version": "b" * 64,
        "actor": "training",
        "reason": "a test",
        "previous_digest": None,
    }
    return ModelEvent(**(defaults | fields))


def chain(events: Iterable[ModelEvent]) -> list[bytes]:
    """Return the records of `events`, each linked to the one before."""
    values: list[bytes] = []
    for event in events:
        values.append(codec.encode(replace(event, previous_digest=link(values[-1]) if values else None)))
    return values
