"""What may be returned of the records fetched, and what has to wait for older ones."""

import itertools
import random

import pytest

from shared.bus.base import Record, TopicPartition
from shared.bus.ordering import FETCHED_BYTES_MAX, PARTITION_WAIT_SECONDS_MAX, FetchedRecords

A, B = TopicPartition("t", 0), TopicPartition("t", 1)


def records(place: TopicPartition, *times_ms: int, first: int = 0, value: bytes = b"v") -> list[Record]:
    return [Record(*place, first + n, b"k", value, at_ms) for n, at_ms in enumerate(times_ms)]


def fetched(*, in_order: bool = True, **times_ms: list[int]) -> FetchedRecords:
    """A and B, of which everything was fetched."""
    held = FetchedRecords(in_order=in_order)
    held.own([A, B])
    for name, times in times_ms.items():
        held.add({"a": A, "b": B}[name], records({"a": A, "b": B}[name], *times))
    held.expect({A: False, B: False}, waited_seconds=0.0)
    return held


def times(taken: list[Record]) -> list[int]:
    return [record.produced_ms for record in taken]


def test_everything_fetched_is_returned_at_once_where_nothing_more_waits() -> None:
    held = fetched(a=[1, 4], b=[2, 3])
    assert held.settled(500)
    assert times(held.take(500)) == [1, 2, 3, 4]
    assert not held.settled(500)


def test_nothing_is_returned_before_every_partition_was_heard_of() -> None:
    held = FetchedRecords(in_order=True)
    held.own([A, B])
    held.add(A, records(A, 1, 2))
    held.expect({A: False}, waited_seconds=0.0)
    assert not held.settled(500)
    assert held.take(500) == []


def test_nothing_newer_is_returned_than_what_is_known_of_a_partition_with_more() -> None:
    held = fetched(a=[1, 5, 9], b=[2, 3])
    held.expect({B: True}, waited_seconds=0.0)
    assert not held.settled(500)
    assert held.settled(2)
    assert times(held.take(500)) == [1, 2]
    assert held.take(500) == []  # 3 may go on in what was not fetched
    held.add(B, records(B, 3, 4, 20, first=2))
    assert times(held.take(500)) == [3, 3, 4, 5, 9]


def test_a_silent_partition_is_waited_for_only_so_long() -> None:
    held = fetched(a=[5, 6], b=[])
    held.expect({B: True}, waited_seconds=PARTITION_WAIT_SECONDS_MAX / 2)
    assert held.take(500) == []
    held.expect({B: True}, waited_seconds=PARTITION_WAIT_SECONDS_MAX / 2)
    assert held.settled(500)
    assert times(held.take(500)) == [5, 6]


def test_a_partition_that_speaks_again_is_waited_for_again() -> None:
    held = fetched(a=[5, 9], b=[])
    held.expect({B: True}, waited_seconds=PARTITION_WAIT_SECONDS_MAX)
    assert times(held.take(1)) == [5]
    held.add(B, records(B, 6, 7))
    held.expect({B: True}, waited_seconds=0.0)
    assert times(held.take(500)) == [6]


def test_a_batch_ends_with_a_whole_millisecond() -> None:
    held = fetched(a=[1, 2, 2, 3], b=[2, 3])
    assert times(held.take(3)) == [1]
    assert times(held.take(3)) == [2, 2, 2]
    assert times(held.take(3)) == [3, 3]


def test_a_millisecond_larger_than_a_batch_is_cut() -> None:
    held = fetched(a=[1, 1, 1], b=[1])
    assert [len(held.take(2)) for _ in range(3)] == [2, 2, 0]


def test_a_millisecond_larger_than_what_is_held_of_a_partition_is_cut() -> None:
    held = fetched(b=[1])
    held.add(A, records(A, 1, 1, value=bytes(FETCHED_BYTES_MAX)))
    held.expect({A: True, B: False}, waited_seconds=0.0)
    assert held.full() == {A}
    assert held.settled(500)
    assert [tuple(record[:3]) for record in held.take(500)] == [("t", 0, 0), ("t", 0, 1)]
    assert held.full() == set()


def test_the_order_within_a_partition_stays_where_its_times_go_back() -> None:
    held = fetched(a=[7, 3, 8], b=[5, 7, 9])
    assert [(record.partition, record.produced_ms) for record in held.take(500)] == [
        (1, 5),
        (0, 7),
        (0, 3),
        (1, 7),
        (0, 8),
        (1, 9),
    ]


def test_records_as_old_as_each_other_come_by_topic_partition_and_offset() -> None:
    other = TopicPartition("s", 7)
    held = fetched(a=[1, 1], b=[1])
    held.own([B, A, other])
    held.add(other, records(other, 1))
    held.expect({other: False}, waited_seconds=0.0)
    assert [tuple(record[:3]) for record in held.take(500)] == [("s", 7, 0), ("t", 0, 0), ("t", 0, 1), ("t", 1, 0)]


def test_what_was_taken_away_is_not_returned_and_what_stays_is() -> None:
    held = fetched(a=[1, 3], b=[2, 4])
    held.own([B])
    assert times(held.take(500)) == [2, 4]


def test_a_partition_that_comes_back_starts_anew() -> None:
    held = fetched(a=[1, 3], b=[2, 4])
    held.forget([A])
    held.own([A, B])
    assert held.take(500) == []
    held.add(A, records(A, 3, first=1))
    held.expect({A: False}, waited_seconds=0.0)
    assert times(held.take(500)) == [2, 3, 4]


def test_progress_is_the_first_record_not_returned() -> None:
    held = fetched(a=[1, 3], b=[2])
    held.take(2)
    assert (held.next_offset(A), held.next_offset(B)) == (1, None)


def test_without_an_order_nothing_waits_and_a_batch_is_full() -> None:
    held = fetched(in_order=False, a=[1, 1, 1], b=[1])
    held.expect({A: True, B: True}, waited_seconds=0.0)
    assert held.settled(500)
    assert [len(held.take(3)) for _ in range(3)] == [3, 1, 0]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_way_it_is_fetched_it_comes_sorted_and_whole(seed: int) -> None:
    chance = random.Random(seed)
    places = [TopicPartition(topic, partition) for topic in "st" for partition in range(3)]
    logs = {
        place: records(place, *sorted(chance.randrange(300) for _ in range(chance.randrange(200)))) for place in places
    }
    position = dict.fromkeys(places, 0)
    held = FetchedRecords(in_order=True)
    held.own(places)
    batches: list[list[Record]] = []
    while sum(map(len, batches)) < sum(map(len, logs.values())):
        for place in chance.sample(places, 2):
            piece = logs[place][position[place] : position[place] + chance.randrange(30)]
            held.add(place, piece)
            position[place] += len(piece)
        held.expect({place: position[place] < len(logs[place]) for place in places}, waited_seconds=0.0)
        while held.settled(40):
            batches.append(held.take(40))
    everything = [record for batch in batches for record in batch]
    assert everything == sorted((r for log in logs.values() for r in log), key=lambda r: (r.produced_ms, r[:3]))
    assert max(map(len, batches)) <= 40
    assert not [1 for one, two in itertools.pairwise(batches) if one[-1].produced_ms == two[0].produced_ms]
