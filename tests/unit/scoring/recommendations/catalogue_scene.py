"""A shop's items, and a catalogue that knows them."""

from typing import Any

from services.scoring.recommendations.catalogue import Catalogue
from shared.bus.memory import MemoryBus
from shared.contracts.ids import derived_event_id
from shared.contracts.shopping import Item
from shared.contracts.topics import TOPICS
from tests.events import START, TRACE_ID


def item(item_id: str, **said: Any) -> Item:
    """Return an item; said: the fields that matter."""
    defaults: dict[str, Any] = {
        "event_id": derived_event_id(START, "items", item_id),
        "occurred_at": START,
        "trace_id": TRACE_ID,
        "item_id": item_id,
    }
    return Item(**(defaults | said))


def new_bus() -> MemoryBus:
    bus = MemoryBus(partitions=2)
    bus.create_topics(TOPICS)
    return bus


def catalogue_of(*items: Item) -> Catalogue:
    """Return a catalogue that nobody keeps up to date, with some items."""
    catalogue = Catalogue(new_bus())
    for entry in items:
        catalogue.apply(entry)
    return catalogue
