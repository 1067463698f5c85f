"""Hands events to ingest in batches, and takes no refusal."""

from collections.abc import Sequence

import httpx
import msgspec

from services.local.demo.plan import DemoError
from shared.contracts.events import Event
from shared.contracts.topics import Topic

_encoder = msgspec.json.Encoder()


def post(client: httpx.Client, topic: Topic, events: Sequence[Event]) -> None:
    """Post `events` in one request; none is no request.

    client: its base URL is ingest's.

    Raises:
        DemoError: ingest did not take an event.
    """
    if not events:
        return
    path = f"/v1/{topic.name}/batch"
    try:
        response = client.post(path, content=_encoder.encode({"events": events}))
        response.raise_for_status()
    except httpx.HTTPError as error:
        raise DemoError(f"ingest did not take {len(events)} {topic.name}: {error}") from error
    rejected = response.json()["rejected"]
    if rejected:
        raise DemoError(f"ingest refused {rejected} of {len(events)} {topic.name}: {response.text[:500]}")
