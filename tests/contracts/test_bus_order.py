"""A subscription that reads in order: what every event log must do; run against each adapter."""

import itertools
import random
import threading
import time
import uuid
from dataclasses import replace

import pytest

from shared.bus import ordering
from shared.bus.base import Bus, BusUnavailableError, FencedError, Outgoing, Record, Subscription
from shared.contracts.topics import LABELS, Topic
from tests.contracts.reading import PARTITIONS, PATIENCE_POLLS, POLL_SECONDS, answers, read, values, write

BACKLOG = 4000
PAYLOAD_BYTES = 2000
"""Enough that no partition of the backlog comes in one fetch."""


@pytest.fixture
def backlog(bus: Bus, source: Topic, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two topics, three records a millisecond; which partitions a time's records are in moves on with the time."""
    # However slow this machine is, no partition is given up.
    monkeypatch.setattr(ordering, "PARTITION_WAIT_SECONDS_MAX", 600.0)
    other = replace(LABELS, name=f"other-{uuid.uuid4().hex[:8]}")
    bus.create_topics([other])
    start_ms = int(time.time() * 1000) - 3_600_000
    chance = random.Random(1)
    publisher = bus.publisher()
    sent = []
    for n in range(BACKLOG):
        key = b"k%d" % ((n * 60 // BACKLOG + chance.randrange(3)) % 20)
        topic = chance.choice([source.name, source.name, other.name])
        sent.append(publisher.send(Outgoing(topic, key, str(n).encode().ljust(PAYLOAD_BYTES), start_ms + n // 3)))
    for future in sent:
        future.result(timeout=30)
    return [source.name, other.name]


def batches(subscription: Subscription, count: int, *, records_max: int) -> list[list[Record]]:
    """Poll until `count` records came or more."""
    polled: list[list[Record]] = []
    for _ in range(count + PATIENCE_POLLS):
        if batch := subscription.poll(records_max=records_max, wait_seconds=POLL_SECONDS):
            polled.append(batch)
        if sum(map(len, polled)) >= count:
            return polled
    raise AssertionError(f"only {sum(map(len, polled))} of {count} records came")


def waiting(subscription: Subscription) -> int:
    return sum(standing.waiting_records for standing in subscription.standing().values())


def turn(record: Record) -> tuple[int, str, int, int]:
    return record.produced_ms, record.topic, record.partition, record.offset


def test_a_backlog_is_read_in_the_order_it_was_produced(bus: Bus, backlog: list[str]) -> None:
    subscription = bus.subscribe(backlog[0], backlog, instance="a", in_order=True)
    records = [r for batch in batches(subscription, BACKLOG, records_max=300) for r in batch]
    assert len({(record.topic, record.partition) for record in records}) == 2 * PARTITIONS
    assert records == sorted(records, key=turn)
    assert values(records) == list(range(BACKLOG))
    assert waiting(subscription) == 0


def test_a_millisecond_is_not_cut_in_two(bus: Bus, backlog: list[str]) -> None:
    subscription = bus.subscribe(backlog[0], backlog, instance="a", in_order=True)
    polled = batches(subscription, BACKLOG, records_max=100)
    assert max(map(len, polled)) <= 100
    for before, after in itertools.pairwise(polled):
        assert before[-1].produced_ms < after[0].produced_ms


def test_a_millisecond_that_does_not_fit_is_cut_where_the_batch_is_full(bus: Bus, backlog: list[str]) -> None:
    subscription = bus.subscribe(backlog[0], backlog, instance="a", in_order=True)
    polled = batches(subscription, 12, records_max=2)
    assert [len(batch) for batch in polled] == [2, 1] * 4
    assert values([record for batch in polled for record in batch]) == list(range(12))


def test_records_as_old_as_each_other_come_in_the_order_of_their_places(bus: Bus, source: Topic) -> None:
    publisher = bus.publisher()
    at_ms = int(time.time() * 1000)
    for n in range(50):
        publisher.send(Outgoing(source.name, b"k%d" % (n % 10), b"%d" % n, at_ms)).result(timeout=30)
    subscription = bus.subscribe(source.name, [source.name], instance="a", in_order=True)
    records = [r for batch in batches(subscription, 50, records_max=50) for r in batch]
    assert records == sorted(records, key=turn)


def test_progress_committed_within_an_ordered_backlog_is_kept(bus: Bus, backlog: list[str], sink: Topic) -> None:
    first = bus.subscribe(backlog[0], backlog, instance="a", in_order=True)
    done = batches(first, 1000, records_max=300)
    first.commit(answers(sink, [record for batch in done for record in batch]))
    waits = sum(bus.group_lag(backlog[0], backlog).values())
    assert waits == BACKLOG - sum(map(len, done))
    assert waiting(first) == waits
    first.poll(records_max=300, wait_seconds=POLL_SECONDS)  # polled and not committed
    first.close()
    successor = bus.subscribe(backlog[0], backlog, instance="a", in_order=True)
    records = [r for batch in [*done, *batches(successor, waits, records_max=300)] for r in batch]
    assert records == sorted(records, key=turn)
    assert values(records) == list(range(BACKLOG))


def test_a_member_that_joins_within_an_ordered_backlog_takes_its_share(
    bus: Bus, backlog: list[str], sink: Topic
) -> None:
    stop = threading.Event()
    done_by = {"a": 0, "b": 0}

    def work(instance: str) -> None:
        subscription = bus.subscribe(backlog[0], backlog, instance=instance, in_order=True)
        while not stop.is_set():
            try:
                # Slowly until both have a share: the backlog is not to be over before.
                records_max = 300 if all(done_by.values()) else 1
                if records := subscription.poll(records_max=records_max, wait_seconds=POLL_SECONDS):
                    subscription.commit(answers(sink, records))
                    done_by[instance] += len(records)
            except (FencedError, BusUnavailableError):  # also a broker that is slow to answer
                subscription.close()
                subscription = bus.subscribe(backlog[0], backlog, instance=instance, in_order=True)
        subscription.close()

    threads = [threading.Thread(target=work, args=(name,)) for name in done_by]
    tail = bus.tail([sink.name], start="oldest")
    threads[0].start()
    answered = read(tail, 1)
    threads[1].start()
    answered += read(tail, BACKLOG - len(answered))
    stop.set()
    for thread in threads:
        thread.join()
    assert values(answered + tail.poll(wait_seconds=POLL_SECONDS)) == list(range(BACKLOG))
    assert min(done_by.values()) > 0


def test_what_comes_live_is_returned_though_other_partitions_are_silent(bus: Bus, source: Topic) -> None:
    subscription = bus.subscribe(source.name, [source.name], instance="a", in_order=True)
    for n in range(5):
        write(bus, source, 1, first=n)
        assert values(read(subscription, 1)) == [n]
        subscription.commit()


def test_a_tail_can_read_a_backlog_in_the_order_it_was_produced(bus: Bus, backlog: list[str]) -> None:
    tail = bus.tail(backlog, start="oldest", in_order=True)
    records = []
    for _ in range(PATIENCE_POLLS):
        records += tail.poll(wait_seconds=POLL_SECONDS, records_max=300)
        if tail.caught_up():
            break
    assert values(records) == list(range(BACKLOG))
    assert records == sorted(records, key=turn)
