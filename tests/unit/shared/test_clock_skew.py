"""The bound on event times: what clients write is held to it, what the platform writes is not."""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import pytest

from shared.bus.base import Outgoing
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.events import DeadLetter, Event, RetrainingRequest
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import LABELS, RETRAINING, TOPICS, TRANSACTIONS, Topic
from shared.runtime.clock import ManualClock
from shared.runtime.loop import Delivery, Loop, LoopOptions
from tests.events import START, TRACE_ID, label, payment

BOUND = timedelta(minutes=5)
BEYOND = START + BOUND + timedelta(milliseconds=1)
TIMES = [BEYOND, START + BOUND, START - timedelta(days=20_000)]


def request(at: datetime) -> RetrainingRequest:
    event_id = derived_event_id(at, "r")
    return RetrainingRequest(
        event_id=event_id, occurred_at=at, trace_id=TRACE_ID, model_name="m", requested_by="me", reason="a wish"
    )


MAKE: dict[str, Callable[[datetime], Event]] = {
    TRANSACTIONS.name: lambda at: payment("t", occurred_at=at),
    LABELS.name: lambda at: label(payment("t"), known_after=at - START),
    RETRAINING.name: request,
}


def handled_and_rejected(topic: Topic, future_max: timedelta | None) -> tuple[list[datetime], list[DeadLetter]]:
    """Run a loop over one event of each time, in that order, by a clock that stands at START."""
    bus, stop, handled, last = MemoryBus(partitions=1), threading.Event(), list[datetime](), threading.Event()
    bus.create_topics(TOPICS)
    letters = bus.tail([topic.dead_letter_name], start="oldest")
    for at in TIMES:
        event = MAKE[topic.name](at)
        bus.publisher().send(Outgoing(topic.name, topic.key_of(event).encode(), codec.encode(event)))

    def handler(deliveries: Sequence[Delivery]) -> list[Outgoing]:
        handled.extend(delivery.event.occurred_at for delivery in deliveries)
        if TIMES[-1] in handled:
            last.set()
        return []

    loop = Loop(
        service="features",
        name="skew",
        bus=bus,
        topics=[topic.name],
        handler=handler,
        clock=ManualClock(START),
        instance="0",
        options=LoopOptions(future_max=future_max),
    )
    thread = threading.Thread(target=loop.run, args=(stop,))
    thread.start()
    assert last.wait(30)
    stop.set()
    thread.join()
    return handled, [codec.decode(DeadLetter, record.value or b"") for record in letters.poll(wait_seconds=0)]


@pytest.mark.parametrize("topic", [TRANSACTIONS, LABELS], ids=lambda topic: topic.name)
def test_what_clients_write_may_be_dated_up_to_the_bound(topic: Topic) -> None:
    handled, (letter,) = handled_and_rejected(topic, BOUND)
    assert handled == TIMES[1:]
    assert letter.error == "ahead_of_clock"
    assert "at most 300 s" in letter.explanation


def test_what_the_platform_itself_writes_is_not_held_to_it() -> None:
    assert handled_and_rejected(RETRAINING, BOUND) == (TIMES, [])


def test_without_a_bound_any_time_is_taken() -> None:
    assert handled_and_rejected(TRANSACTIONS, None) == (TIMES, [])
