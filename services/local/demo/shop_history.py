"""History for the demo's shop: items, shoppers, and weeks of what they did, posted to ingest in event-time order."""

from collections.abc import Callable
from datetime import datetime
from itertools import islice, takewhile

import httpx

from services.local.demo.posting import post
from services.local.simulation.shoppers import Shoppers
from shared.contracts.events import Event
from shared.contracts.topics import INTERACTIONS, ITEMS, USERS, Topic


def post_shop(client: httpx.Client, shoppers: Shoppers, *, batch: int) -> None:
    """Post what the shop sells and who its shoppers are; raises DemoError."""
    of_topic: tuple[tuple[Topic, list[Event]], ...] = (
        (ITEMS, list[Event](shoppers.items())),
        (USERS, list[Event](shoppers.users())),
    )
    for topic, events in of_topic:
        for begin in range(0, len(events), batch):
            post(client, topic, events[begin : begin + batch])


def post_interactions(
    client: httpx.Client, shoppers: Shoppers, until: datetime, *, batch: int, advanced: Callable[[int], None]
) -> int:
    """Post what shoppers did up to `until`, and return how much that was.

    advanced: told how many interactions each request brought.

    Raises:
        DemoError: ingest did not take an event.
    """
    happened = takewhile(lambda interaction: interaction.occurred_at < until, shoppers.interactions())
    posted = 0
    while interactions := list(islice(happened, batch)):
        post(client, INTERACTIONS, interactions)
        posted += len(interactions)
        advanced(len(interactions))
    return posted
