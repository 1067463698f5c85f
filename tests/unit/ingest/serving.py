"""ingest as a real HTTP server on an ephemeral port, over a log and a store that can be made to fail."""

import contextlib
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
from tenacity import retry, stop_after_delay, wait_fixed

from services.ingest.app import build
from services.ingest.settings import IngestSettings
from shared.bus.base import Bus, BusUnavailableError, Outgoing, Tail
from shared.bus.memory import MemoryBus, MemoryPublisher
from shared.contracts.codec import decode_record
from shared.contracts.events import Event
from shared.contracts.topics import BY_NAME, Topic
from shared.intake.posted import POSTED
from shared.runtime.clock import Clock, ManualClock
from shared.runtime.service import http_server
from shared.store.base import Store
from shared.store.memory import MemoryStore

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


class FaultyBus(MemoryBus):
    """A log that can go away (`away`, or after `sends_left` more), stop answering (`silent`) or lose what it was sent (`losing`)."""

    def __init__(self) -> None:
        super().__init__(partitions=4)
        self.away = False
        self.silent = False
        self.losing = False
        self.sends_left: int | None = None
        self.unanswered: list[Future[None]] = []

    def create_topics(self, topics: Iterable[Topic]) -> None:
        if self.away:
            raise BusUnavailableError("the log is away")
        super().create_topics(topics)

    def publisher(self) -> "FaultyPublisher":
        return FaultyPublisher(self)

    def reachable(self) -> bool:
        return not self.away


class FaultyPublisher(MemoryPublisher):
    def __init__(self, bus: FaultyBus) -> None:
        super().__init__(bus)
        self._faulty = bus

    def send(self, outgoing: Outgoing) -> "Future[None]":
        if self._faulty.away or self._faulty.sends_left == 0:
            raise BusUnavailableError("the log is away")
        if self._faulty.sends_left is not None:
            self._faulty.sends_left -= 1
        answer: Future[None] = Future()
        if self._faulty.silent:
            self._faulty.unanswered.append(answer)
            return answer
        if self._faulty.losing:
            answer.set_exception(BusUnavailableError("the log did not acknowledge"))
            return answer
        return super().send(outgoing)


@dataclass
class Running:
    """An ingest that serves, and what is around it."""

    url: str
    client: httpx.Client
    bus: Bus
    clock: Clock
    tails: dict[str, Tail] = field(default_factory=dict)
    seen: dict[str, list[Event]] = field(default_factory=dict)

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> httpx.Response:
        content = body if isinstance(body, bytes) else msgspec.json.encode(body)
        return self.client.post(path, content=content, headers=headers)

    def events(self, topic: str) -> list[Event]:
        """What is on `topic` since `fresh`, decoded and checked as every reader does; partition by partition."""
        tail = self.tails.get(topic) or self.tails.setdefault(topic, self.bus.tail([topic], start="oldest"))
        seen = self.seen.setdefault(topic, [])
        while records := tail.poll(wait_seconds=0):
            seen += [decode_record(BY_NAME[topic], record.key, record.value) for record in records]
        return list(seen)

    def fresh(self) -> "Running":
        """The same server, seen as if nothing had been sent to it yet."""
        tails = {posted.topic.name: self.bus.tail([posted.topic.name], start="newest") for posted in POSTED}
        return replace(self, tails=tails, seen={})


@contextlib.contextmanager
def serving(
    bus: Bus | None = None,
    store: Store | None = None,
    clock: Clock | None = None,
    *,
    wait_until_ready: bool = True,
    **settings: Any,
) -> Iterator[Running]:
    clock = clock or ManualClock(NOW)
    bus = bus or MemoryBus(partitions=4)
    configured = IngestSettings(**settings)
    service = build(configured, bus, store or MemoryStore(clock), clock)
    server = http_server(service, configured)
    # Listening before the server runs: a client that is early waits in the socket's queue.
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        try:
            with httpx.Client(base_url=url, timeout=30) as client:
                if wait_until_ready:
                    await_ready(client)
                yield Running(url, client, bus, clock)
        finally:
            server.should_exit = True
            thread.join()
    assert not service.failed.is_set()


@retry(stop=stop_after_delay(30), wait=wait_fixed(0.02), reraise=True)
def await_ready(client: httpx.Client) -> None:
    client.get("/health/ready").raise_for_status()


def payment_body(**fields: Any) -> dict[str, Any]:
    """A payment as a client posts it; a field given as None is left out."""
    body = {
        "occurred_at": "2026-03-02T11:59:00Z",
        "transaction_id": "tx-1",
        "card_id": "card-1",
        "merchant_id": "merchant-1",
        "amount": 1999,
        "currency": "EUR",
        "channel": "ecommerce",
        "country": "DE",
        "mcc": "5411",
    } | fields
    return {name: value for name, value in body.items() if value is not None}
