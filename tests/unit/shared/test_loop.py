"""The loop's promises: a bad record is set aside, an absent neighbour is waited for, a bug is loud."""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

import pytest

from shared.bus.base import Outgoing, Record, Standing, Subscription, TopicPartition
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.events import DeadLetter, Transaction
from shared.contracts.topics import FEATURES, TOPICS, TRANSACTIONS
from shared.runtime.clock import ManualClock, SystemClock
from shared.runtime.loop import PROGRESS_SECONDS, Delivery, Loop, LoopOptions, OnProgress
from shared.store.base import StoreUnavailableError
from tests.events import START, payment
from tests.unit.scoring.scoring_scene import wait_until

GOOD = [payment(f"t{n}") for n in range(5)]
NOISE: dict[str, tuple[bytes | None, bytes]] = {
    "not_json": (b"card-1", b"\x00\xff not json"),
    "invalid": (b"card-1", codec.encode(payment("x")).replace(b"1999", b'"a lot"')),
    "unknown_version": (b"card-1", codec.encode(payment("x")).replace(b'"schema_version":1', b'"schema_version":9')),
    "wrong_key": (b"card-2", codec.encode(payment("x"))),
}


def new_bus() -> MemoryBus:
    bus = MemoryBus(partitions=1)
    bus.create_topics(TOPICS)
    return bus


def echo(deliveries: Sequence[Delivery]) -> list[Outgoing]:
    return [Outgoing(FEATURES.name, d.record.key or b"", d.record.value or b"") for d in deliveries]


def new_loop(bus: MemoryBus, handler: Callable[[Sequence[Delivery]], Sequence[Outgoing]]) -> Loop:
    return Loop(
        service="features",
        name="test",
        bus=bus,
        topics=[TRANSACTIONS.name],
        handler=handler,
        clock=SystemClock(),
        instance="0",
        options=LoopOptions(poll_seconds=0.01, backoff_seconds_max=0.01),
    )


def send(bus: MemoryBus, key: bytes | None, value: bytes) -> None:
    bus.publisher().send(Outgoing(TRANSACTIONS.name, key or b"", value))


def read(bus: MemoryBus, topic: str, count: int) -> list[Record]:
    tail = bus.tail([topic], start="oldest")
    records: list[Record] = []
    for _ in range(1000):
        records += tail.poll(wait_seconds=0.05)
        if len(records) >= count:
            return records
    raise AssertionError(f"{len(records)} of {count} records came on {topic}")


class Running:
    """A loop in a thread, stopped at the end of the test."""

    def __init__(self, loop: Loop) -> None:
        self.stop = threading.Event()
        self.thread = threading.Thread(target=loop.run, args=(self.stop,))

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()


@pytest.mark.parametrize("error", NOISE)
def test_noise_goes_to_the_dead_letters_with_its_reason_and_the_stream_goes_on(error: str) -> None:
    bus = new_bus()
    key, value = NOISE[error]
    send(bus, b"card-1", codec.encode(GOOD[0]))
    send(bus, key, value)
    send(bus, b"card-1", codec.encode(GOOD[1]))
    with Running(new_loop(bus, echo)):
        answered = read(bus, FEATURES.name, 2)
        (letter,) = (codec.decode(DeadLetter, r.value or b"") for r in read(bus, TRANSACTIONS.dead_letter_name, 1))
    assert [codec.decode(Transaction, record.value or b"") for record in answered] == GOOD[:2]
    assert (letter.error, letter.topic, letter.offset, letter.value) == (error, TRANSACTIONS.name, 1, value)
    assert letter.explanation


def test_a_store_that_is_away_is_waited_for_and_nothing_is_lost() -> None:
    bus = new_bus()
    away = iter([True, True, True])
    problems: list[str | None] = []

    def handler(deliveries: Sequence[Delivery]) -> list[Outgoing]:
        problems.append(loop.problem())
        if next(away, False):
            raise StoreUnavailableError("Redis does not answer")
        return echo(deliveries)

    loop = new_loop(bus, handler)
    for event in GOOD:
        send(bus, b"card-1", codec.encode(event))
    with Running(loop):
        answered = read(bus, FEATURES.name, len(GOOD))
        assert [codec.decode(Transaction, record.value or b"") for record in answered] == GOOD
    assert problems == [None, *["Redis does not answer"] * 3]


def test_a_stop_while_waiting_for_the_store_commits_nothing() -> None:
    bus = new_bus()
    send(bus, b"card-1", codec.encode(GOOD[0]))
    waiting = threading.Event()

    def handler(_: Sequence[Delivery]) -> list[Outgoing]:
        waiting.set()
        raise StoreUnavailableError("Redis does not answer")

    with Running(new_loop(bus, handler)):
        assert waiting.wait(10)
    with Running(new_loop(bus, echo)):
        assert len(read(bus, FEATURES.name, 1)) == 1


def test_a_bug_in_the_handler_is_not_swallowed() -> None:
    bus = new_bus()
    send(bus, b"card-1", codec.encode(GOOD[0]))

    def handler(_: Sequence[Delivery]) -> list[Outgoing]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        new_loop(bus, handler).run(threading.Event())


def test_a_batch_whose_partitions_went_elsewhere_is_answered_once() -> None:
    bus = new_bus()
    for event in GOOD:
        send(bus, b"card-1", codec.encode(event))
    rivals: list[Subscription] = []

    def handler(deliveries: Sequence[Delivery]) -> list[Outgoing]:
        if not rivals:  # another member joins while this batch is in hand
            rivals.append(bus.subscribe("headrace-features-test", [TRANSACTIONS.name], instance="zz-rival"))
            rivals[0].close()
        return echo(deliveries)

    with Running(new_loop(bus, handler)):
        answered = read(bus, FEATURES.name, len(GOOD))
    assert [codec.decode(Transaction, record.value or b"") for record in answered] == GOOD


def test_a_batch_takes_what_is_there_one_when_quiet_and_hundreds_when_busy() -> None:
    bus = new_bus()
    sizes: list[int] = []
    go_on = threading.Event()
    go_on.set()

    def handler(deliveries: Sequence[Delivery]) -> list[Outgoing]:
        sizes.append(len(deliveries))
        go_on.wait(10)
        return echo(deliveries)

    with Running(new_loop(bus, handler)):
        for number in range(3):
            send(bus, b"card-1", codec.encode(payment(f"quiet-{number}")))
            read(bus, FEATURES.name, number + 1)
        go_on.clear()
        for number in range(301):
            send(bus, b"card-1", codec.encode(payment(f"busy-{number}")))
            wait_until(lambda: len(sizes) == 4, "the first of the busy ones is in hand")
        go_on.set()
        read(bus, FEATURES.name, 304)
    assert sizes == [1, 1, 1, 1, 300]


def telling_loop(bus: MemoryBus, clock: ManualClock, on_progress: OnProgress, *, records_max: int) -> Loop:
    return Loop(
        service="features",
        name="test",
        bus=bus,
        topics=[TRANSACTIONS.name],
        handler=echo,
        clock=clock,
        instance="0",
        options=LoopOptions(records_max=records_max, poll_seconds=0.01),
        on_progress=on_progress,
    )


def test_progress_is_told_after_the_commit_and_a_store_that_is_away_then_does_no_harm() -> None:
    bus, clock = new_bus(), ManualClock(START)
    told: list[tuple[int, int | None, int]] = []
    away = iter([True])

    def on_progress(standing: Mapping[TopicPartition, Standing], as_of: datetime) -> None:
        (at,) = standing.values()
        told.append((*at, sum(bus.group_lag("headrace-features-test", [TRANSACTIONS.name]).values())))
        assert as_of <= clock.now()
        clock.advance(timedelta(seconds=PROGRESS_SECONDS))
        if next(away, False):
            raise StoreUnavailableError("Redis does not answer")

    for at, event in enumerate(GOOD):
        bus.publisher().send(Outgoing(TRANSACTIONS.name, b"card-1", codec.encode(event), 1_000 + at))
    with Running(telling_loop(bus, clock, on_progress, records_max=2)):
        wait_until(lambda: len(told) >= 4, "told while idle")
    assert told[:4] == [(3, 1_001, 3), (1, 1_003, 1), (0, 1_004, 0), (0, 1_004, 0)]


def test_progress_is_not_told_more_often_than_needed() -> None:
    bus, clock = new_bus(), ManualClock(START)
    told: list[datetime] = []
    for event in GOOD:
        send(bus, b"card-1", codec.encode(event))
    with Running(telling_loop(bus, clock, lambda _, as_of: told.append(as_of), records_max=1)):
        read(bus, FEATURES.name, len(GOOD))
        assert len(told) == 1
        clock.advance(timedelta(seconds=PROGRESS_SECONDS))
        wait_until(lambda: len(told) == 2, "told again")
