"""Topics of which records are rejected: by a running service, or as if by one."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from services.local.dead_letters import Rejections, Selection, newest_letters, rejections
from shared.bus.base import Bus, Outgoing, Record
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import Event, Transaction
from shared.contracts.topics import Topic
from shared.runtime.clock import Clock
from shared.runtime.dead_letters import dead_letter
from shared.runtime.loop import Delivery, Loop, LoopOptions
from tests.contracts.reading import PATIENCE_POLLS, POLL_SECONDS

FUTURE_MAX = timedelta(minutes=5)


class Reader:
    """A service that reads one topic, and what it has taken of it."""

    def __init__(self, bus: Bus, topic: Topic, clock: Clock, service: str = "features") -> None:
        self.taken: list[Event] = []
        self._came = threading.Condition()
        self._loop = Loop(
            service=service,
            name=topic.name,
            bus=bus,
            topics=[topic.name],
            handler=self._take,
            clock=clock,
            instance="0",
            options=LoopOptions(future_max=FUTURE_MAX, poll_seconds=0.05),
        )

    @property
    def group(self) -> str:
        return self._loop.group

    @contextmanager
    def running(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self._loop.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def wait_for(self, count: int) -> list[Event]:
        with self._came:
            self._came.wait_for(lambda: len(self.taken) >= count, timeout=PATIENCE_POLLS * POLL_SECONDS)
        return self.taken

    def _take(self, deliveries: Sequence[Delivery]) -> Sequence[Outgoing]:
        with self._came:
            self.taken += [delivery.event for delivery in deliveries]
            self._came.notify_all()
        return ()


def publish(bus: Bus, *records: Outgoing) -> None:
    publisher = bus.publisher()
    for record in records:
        publisher.send(record).result(timeout=30)


def sent(topic: Topic, payment: Transaction) -> Outgoing:
    return Outgoing(topic.name, payment.card_id.encode(), codec.encode(payment))


def reject(bus: Bus, *records: Record, at: datetime, service: str = "features", error: str = "invalid") -> None:
    """Set records aside, as a service does that rejects them."""
    publish(bus, *(dead_letter(service, record, BadRecordError(error, f"it is {error}"), at) for record in records))


def rejected(topic: Topic, number: int, value: bytes | None = None, key: bytes | None = b"card-1") -> Record:
    """Return the record of that number on the topic."""
    return Record(topic.name, 0, number, key, b"%d" % number if value is None else value, 0)


def offsets(bus: Bus, topic: Topic) -> list[int]:
    """Return where the topic's dead letters stand."""
    return [shown.letter.record.offset for shown in newest_letters(bus, topic, Selection(), count_max=1000)]


def tally(bus: Bus, topic: Topic) -> Rejections:
    [found] = rejections(bus, [topic])
    return found


def wait_for_letters(bus: Bus, topic: Topic, count: int) -> None:
    for _ in range(PATIENCE_POLLS):
        if len(offsets(bus, topic)) >= count:
            return
        threading.Event().wait(POLL_SECONDS)
    raise AssertionError(f"not {count} dead letters came: {tally(bus, topic)}")
