"""Headers travel beside a record's value, whoever writes it and whoever reads it."""

from dataclasses import replace
from uuid import uuid4

import pytest

from shared.bus.base import HEADERS_BYTES_MAX, Bus, Headers, Outgoing
from shared.contracts.topics import MODELS, Topic
from tests.contracts.reading import everything, read

HEADERS: Headers = (("traceparent", b"00-aa"), ("Other", b"\x00\xff"), ("traceparent", b""), ("ümlaut", b"x"))


def test_what_a_publisher_writes_comes_with_its_headers(bus: Bus, source: Topic) -> None:
    publisher = bus.publisher()
    for number, headers in enumerate([HEADERS, ()]):
        publisher.send(Outgoing(source.name, b"k", b"%d" % number, headers=headers)).result(timeout=30)
    expected = {b"0": HEADERS, b"1": ()}
    assert {record.value: record.headers for record in everything(bus, source)} == expected
    subscription = bus.subscribe("group", [source.name], instance="a", in_order=True)
    assert {record.value: record.headers for record in read(subscription, 2)} == expected


def test_what_a_transaction_writes_comes_with_its_headers(bus: Bus, source: Topic, sink: Topic) -> None:
    bus.publisher().send(Outgoing(source.name, b"k", b"v", headers=HEADERS)).result(timeout=30)
    subscription = bus.subscribe("group", [source.name], instance="a")
    (record,) = read(subscription, 1)
    subscription.commit(
        [
            Outgoing(sink.name, b"k", b"with", record.produced_ms, record.headers),
            Outgoing(sink.name, b"k", b"without"),
        ]
    )
    assert [(r.value, r.headers) for r in everything(bus, sink)] == [(b"with", HEADERS), (b"without", ())]


def test_what_a_sole_writer_writes_comes_with_its_headers(bus: Bus) -> None:
    topic = replace(MODELS, name=f"chained-{uuid4().hex[:8]}")
    bus.create_topics([topic])
    writer = bus.sole_writer(topic.name)
    writer.write([Outgoing(topic.name, b"k", b"v", headers=HEADERS)])
    writer.close()
    assert [record.headers for record in everything(bus, topic)] == [HEADERS]


def test_headers_beyond_their_bound_are_refused_and_nothing_is_written(bus: Bus, source: Topic, sink: Topic) -> None:
    name = "h"
    most, more = (((name, bytes(HEADERS_BYTES_MAX - len(name) + extra)),) for extra in (0, 1))
    with pytest.raises(ValueError, match="headers of 16385 bytes"):
        bus.publisher().send(Outgoing(source.name, b"k", b"v", headers=more))
    bus.publisher().send(Outgoing(source.name, b"k", b"v", headers=most)).result(timeout=30)
    subscription = bus.subscribe("group", [source.name], instance="a")
    read(subscription, 1)
    with pytest.raises(ValueError, match="headers of 16385 bytes"):
        subscription.commit([Outgoing(sink.name, b"k", b"1"), Outgoing(sink.name, b"k", b"2", headers=more)])
    subscription.commit([Outgoing(sink.name, b"k", b"3", headers=most)])
    assert [(record.value, record.headers) for record in everything(bus, sink)] == [(b"3", most)]
