"""What every event log must do; run against each adapter."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from shared.bus.base import RECORD_BYTES_MAX, Bus, FencedError, Outgoing, TopicPartition, first_ms
from shared.contracts.topics import Topic
from tests.contracts.reading import (
    PARTITIONS,
    PATIENCE_POLLS,
    POLL_SECONDS,
    answers,
    everything,
    read,
    values,
    write,
)

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def test_creating_topics_twice_changes_nothing(bus: Bus, source: Topic) -> None:
    write(bus, source, 3)
    bus.create_topics([source])
    assert values(everything(bus, source)) == [0, 1, 2]


def test_one_key_keeps_its_order(bus: Bus, source: Topic) -> None:
    write(bus, source, 100)
    records = read(bus.subscribe("group", [source.name], instance="a"), 100)
    for key in {record.key for record in records}:
        own = [int(record.value or b"") for record in records if record.key == key]
        assert own == sorted(own)
        assert len({record.partition for record in records if record.key == key}) == 1


def test_committed_answers_are_visible_and_progress_is_kept(bus: Bus, source: Topic, sink: Topic) -> None:
    write(bus, source, 20)
    subscription = bus.subscribe("group", [source.name], instance="a")
    subscription.commit(answers(sink, read(subscription, 20)))
    subscription.close()
    write(bus, source, 5, first=20)
    successor = bus.subscribe("group", [source.name], instance="a")
    assert values(read(successor, 5)) == [20, 21, 22, 23, 24]
    assert values(everything(bus, sink)) == list(range(20))


def test_what_was_not_committed_is_delivered_again_to_the_successor(bus: Bus, source: Topic, sink: Topic) -> None:
    write(bus, source, 10)
    first = bus.subscribe("group", [source.name], instance="a")
    read(first, 10)
    # The first one is not closed: it was killed.
    successor = bus.subscribe("group", [source.name], instance="a")
    successor.commit(answers(sink, read(successor, 10)))
    assert values(everything(bus, sink)) == list(range(10))


def test_a_member_that_was_replaced_cannot_commit(bus: Bus, source: Topic, sink: Topic) -> None:
    write(bus, source, 10)
    first = bus.subscribe("group", [source.name], instance="a")
    stale = read(first, 10)
    successor = bus.subscribe("group", [source.name], instance="a")
    fresh = read(successor, 10)
    with pytest.raises(FencedError):
        first.commit(answers(sink, stale))
    successor.commit(answers(sink, fresh))
    assert values(everything(bus, sink)) == list(range(10))


def test_two_members_share_the_work_and_each_record_is_answered_once(bus: Bus, source: Topic, sink: Topic) -> None:
    write(bus, source, 200)
    stop = threading.Event()
    done_by: dict[str, int] = {"a": 0, "b": 0}
    joined = threading.Barrier(2)

    def work(instance: str) -> None:
        subscription = bus.subscribe("group", [source.name], instance=instance)
        joined.wait(30)
        while not stop.is_set():
            try:
                records = subscription.poll(records_max=7, wait_seconds=POLL_SECONDS)
                if records:
                    subscription.commit(answers(sink, records))
                    done_by[instance] += len(records)
            except FencedError:
                subscription.close()
                subscription = bus.subscribe("group", [source.name], instance=instance)
        subscription.close()

    threads = [threading.Thread(target=work, args=(name,)) for name in done_by]
    for thread in threads:
        thread.start()
    tail = bus.tail([sink.name], start="oldest")
    first_half = read(tail, 200)
    # Written while both are members, so that each has a share.
    write(bus, source, 200, first=200)
    second_half = read(tail, 200)
    stop.set()
    for thread in threads:
        thread.join()
    assert values(first_half + second_half) == list(range(400))
    assert min(done_by.values()) > 0


def test_two_groups_each_see_everything(bus: Bus, source: Topic) -> None:
    write(bus, source, 10)
    for group in ("one", "two"):
        assert values(read(bus.subscribe(group, [source.name], instance="a"), 10)) == list(range(10))


def test_lingering_gathers_a_larger_batch(bus: Bus, source: Topic) -> None:
    subscription = bus.subscribe("group", [source.name], instance="a")
    write(bus, source, 1)
    read(subscription, 1)
    subscription.commit()
    writer = threading.Thread(target=write, args=(bus, source, 50))
    writer.start()
    batch = read(subscription, 50, linger_seconds=0.5)
    writer.join()
    assert values(batch) == list(range(50))


def test_progress_alone_can_be_committed(bus: Bus, source: Topic) -> None:
    write(bus, source, 10)
    subscription = bus.subscribe("group", [source.name], instance="a")
    read(subscription, 10)
    subscription.commit()
    assert sum(bus.group_lag("group", [source.name]).values()) == 0
    write(bus, source, 3)
    assert sum(bus.group_lag("group", [source.name]).values()) == 3


def test_an_idle_group_shows_no_lag_behind_answers(bus: Bus, source: Topic, sink: Topic) -> None:
    """Kafka's transactions leave markers on the answered topic; they are not work that waits."""
    write(bus, source, 10)
    answering = bus.subscribe("first", [source.name], instance="a")
    answering.commit(answers(sink, read(answering, 10)))
    reader = bus.subscribe("second", [sink.name], instance="a")
    read(reader, 10)
    reader.commit()
    for _ in range(PATIENCE_POLLS):
        reader.poll(records_max=10, wait_seconds=POLL_SECONDS)
        if sum(bus.group_lag("second", [sink.name]).values()) == 0:
            return
    pytest.fail(f"still behind: {bus.group_lag('second', [sink.name])}")


def test_lag_counts_what_waits(bus: Bus, source: Topic) -> None:
    write(bus, source, 30)
    assert sum(bus.group_lag("group", [source.name]).values()) == 30
    places = set(bus.group_lag("group", [source.name]))
    assert places == {TopicPartition(source.name, partition) for partition in range(PARTITIONS)}


def test_a_tail_from_the_newest_sees_only_what_comes_after(bus: Bus, source: Topic) -> None:
    write(bus, source, 5)
    tail = bus.tail([source.name], start="newest")
    assert tail.caught_up()
    write(bus, source, 3, first=5)
    assert values(read(tail, 3)) == [5, 6, 7]


@pytest.mark.parametrize(
    ("after", "seen"),
    [
        (timedelta(days=-30_000), [0, 1, 2, 3]),
        (timedelta(microseconds=-1), [2, 3]),
        (timedelta(), [2, 3]),
        (timedelta(microseconds=1), [3]),
        (timedelta(seconds=1), []),
    ],
)
def test_a_tail_from_a_time_sees_what_was_produced_from_then_on(
    bus: Bus, source: Topic, after: timedelta, seen: list[int]
) -> None:
    """However late it starts, it goes on with whatever is written from now on."""
    written_at(
        bus,
        source,
        [NOON - timedelta(days=1), NOON - timedelta(milliseconds=1), NOON, NOON + timedelta(milliseconds=1)],
    )
    tail = bus.tail([source.name], start=NOON + after)
    write(bus, source, 3, first=4)
    assert values(read(tail, len(seen) + 3)) == [*seen, 4, 5, 6]


def test_a_tail_from_a_time_is_caught_up_once_it_has_what_stood_there(bus: Bus, source: Topic) -> None:
    written_at(bus, source, [NOON - timedelta(hours=1), NOON])
    tail = bus.tail([source.name], start=NOON)
    assert not tail.caught_up()
    read(tail, 1)
    assert tail.caught_up()
    assert bus.tail([source.name], start=NOON + timedelta(hours=1)).caught_up()


def written_at(bus: Bus, topic: Topic, times: list[datetime]) -> None:
    """Write one record at each of `times`, over all partitions; its value is its place among them."""
    publisher = bus.publisher()
    for n, time in enumerate(times):
        publisher.send(Outgoing(topic.name, f"k{n}".encode(), str(n).encode(), first_ms(time))).result(timeout=30)


def test_an_answer_carries_the_time_its_source_was_produced(bus: Bus, source: Topic, sink: Topic) -> None:
    write(bus, source, 1)
    subscription = bus.subscribe("group", [source.name], instance="a")
    (record,) = read(subscription, 1)
    subscription.commit([Outgoing(sink.name, b"k", b"0", record.produced_ms - 60_000)])
    (answer,) = everything(bus, sink)
    assert answer.produced_ms == record.produced_ms - 60_000


def test_a_record_of_the_largest_size_comes_through(bus: Bus, source: Topic) -> None:
    value = b"x" * RECORD_BYTES_MAX
    bus.publisher().send(Outgoing(source.name, b"k", value)).result(timeout=30)
    (record,) = read(bus.subscribe("group", [source.name], instance="a"), 1)
    assert record.value == value


def test_the_log_says_that_it_can_be_reached(bus: Bus) -> None:
    assert bus.reachable()
