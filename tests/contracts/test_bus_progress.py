"""How far a group is, as its member and as an outsider see it."""

import time

from shared.bus.base import Bus, Outgoing, Standing, TopicPartition
from shared.contracts.topics import Topic
from tests.contracts.reading import POLL_SECONDS, read, write

PATIENCE_POLLS = 150


def test_a_member_tells_what_waits_and_when_its_newest_record_was_produced(bus: Bus, source: Topic) -> None:
    at_ms = int(time.time() * 1000) - 60_000
    publisher = bus.publisher()
    for n in range(3):
        publisher.send(Outgoing(source.name, b"one key", b"%d" % n, at_ms + n)).result(timeout=30)
    subscription = bus.subscribe(source.name, [source.name], instance="a", in_order=True)
    polls = (subscription.poll(records_max=1, wait_seconds=POLL_SECONDS) for _ in range(PATIENCE_POLLS))
    (record,) = next(filter(None, polls))
    standing = dict(subscription.standing())
    assert standing.pop(TopicPartition(source.name, record.partition)) == Standing(2, at_ms)
    assert set(standing.values()) <= {Standing(0, None)}


def test_a_group_that_committed_is_told_from_one_that_never_did(bus: Bus, source: Topic) -> None:
    write(bus, source, 5)
    subscription = bus.subscribe(source.name, [source.name], instance="a")
    read(subscription, 5)
    assert not bus.has_committed(source.name, [source.name])
    subscription.commit()
    assert bus.has_committed(source.name, [source.name])
    assert not bus.has_committed(f"{source.name}-other", [source.name])
