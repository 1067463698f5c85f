"""A topic has one sole writer at a time, the one opened last; run against each adapter."""

import contextlib

import pytest

from shared.bus.base import Bus, FencedError, Outgoing
from shared.contracts.topics import Topic
from tests.contracts.reading import everything, values, write


def numbered(topic: Topic, *numbers: int) -> list[Outgoing]:
    return [Outgoing(topic.name, b"key", str(number).encode()) for number in numbers]


def in_order(bus: Bus, topic: Topic) -> list[int]:
    return [int(record.value or b"") for record in everything(bus, topic)]


def test_a_sole_writer_appends_in_order(bus: Bus, sink: Topic) -> None:
    with contextlib.closing(bus.sole_writer(sink.name)) as writer:
        writer.write(numbered(sink, 3, 1, 2))
        writer.write(numbered(sink, 0))
    assert in_order(bus, sink) == [3, 1, 2, 0]


def test_the_one_opened_last_fences_the_others(bus: Bus, sink: Topic) -> None:
    with (
        contextlib.closing(bus.sole_writer(sink.name)) as first,
        contextlib.closing(bus.sole_writer(sink.name)) as last,
    ):
        with pytest.raises(FencedError):
            first.write(numbered(sink, 1, 2))
        last.write(numbered(sink, 3))
        with pytest.raises(FencedError):
            first.write(numbered(sink, 4))
        last.write(numbered(sink, 5))
    assert in_order(bus, sink) == [3, 5]


def test_one_that_has_written_is_fenced_all_the_same(bus: Bus, sink: Topic) -> None:
    with contextlib.closing(bus.sole_writer(sink.name)) as first:
        first.write(numbered(sink, 1))
        with contextlib.closing(bus.sole_writer(sink.name)):
            assert in_order(bus, sink) == [1]
            with pytest.raises(FencedError):
                first.write(numbered(sink, 2))
    assert in_order(bus, sink) == [1]


def test_writers_of_other_topics_and_plain_publishers_are_left_alone(bus: Bus, source: Topic, sink: Topic) -> None:
    with contextlib.closing(bus.sole_writer(sink.name)) as writer, contextlib.closing(bus.sole_writer(source.name)):
        write(bus, sink, 1)
        writer.write(numbered(sink, 1))
    assert values(everything(bus, sink)) == [0, 1]
