"""Rejected records go back to their topic once, whatever happens; run against each adapter."""

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from msgspec.structs import replace as with_fields

from services.local import redriving
from services.local.dead_letters import Selection, newest_letters
from services.local.errors import PlatformError
from services.local.redriving import Patience, Redriven, Verdict, plan, redrive, verdict
from shared.bus.base import Bus, BusUnavailableError, Outgoing, SoleWriter
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.topics import BY_NAME, MODELS, TRANSACTIONS, Topic
from shared.runtime.clock import ManualClock, SystemClock
from shared.runtime.dead_letters import KEY_BYTES_MAX, VALUE_BYTES_MAX
from tests.contracts.reading import PATIENCE_POLLS, POLL_SECONDS, everything
from tests.contracts.rejecting import (
    Reader,
    offsets,
    publish,
    reject,
    rejected,
    sent,
    tally,
    wait_for_letters,
)
from tests.events import START, payment

ALL = Selection()
AHEAD = timedelta(days=1)
PATIENCE_SECONDS = PATIENCE_POLLS * POLL_SECONDS


@pytest.fixture
def topic(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> Topic:
    made = replace(TRANSACTIONS, name=f"payments-{uuid.uuid4().hex[:8]}")
    monkeypatch.setitem(BY_NAME, made.name, made)
    bus.create_topics([made])
    return made


def sent_back(bus: Bus, topic: Topic, selection: Selection = ALL) -> Redriven:
    return redrive(bus, topic, selection, actor="ada", clock=ManualClock(START))


def values(bus: Bus, topic: Topic) -> list[bytes | None]:
    return [record.value for record in everything(bus, topic)]


def seen(bus: Bus, topic: Topic, done: Redriven, *readers: Reader) -> Verdict:
    patience = Patience([reader.group for reader in readers], PATIENCE_SECONDS, SystemClock(), time.sleep)
    return verdict(bus, topic, done, patience)


def test_payments_ahead_of_the_clock_are_taken_once_after_their_time_has_come(bus: Bus, topic: Topic) -> None:
    clock = ManualClock(START)
    payments = [payment(f"tx-{n}", after=timedelta(days=1, minutes=n)) for n in range(3)]
    features, drift = Reader(bus, topic, clock), Reader(bus, topic, clock, "drift")
    with features.running(), drift.running():
        publish(bus, *(sent(topic, one) for one in payments))
        wait_for_letters(bus, topic, 6)
        assert features.taken == []
        clock.advance(timedelta(days=2))
        done = sent_back(bus, topic)
        assert (done.sent, done.refused, done.redriven_before) == (3, (), 0)
        assert seen(bus, topic, done, features, drift) == Verdict({}, is_final=True)
        assert features.taken == drift.taken == payments
        again = sent_back(bus, topic)
        assert (again.sent, again.redriven_before) == (0, 3)
        assert seen(bus, topic, again, features, drift) == Verdict({}, is_final=True)
    assert values(bus, topic) == [codec.encode(one) for one in payments] * 2
    assert features.taken == payments
    assert (tally(bus, topic).waiting, tally(bus, topic).reasons[0].redriven) == (0, 3)


def test_what_is_rejected_again_is_counted_and_not_sent_by_itself(bus: Bus, topic: Topic) -> None:
    clock = ManualClock(START)
    reader = Reader(bus, topic, clock)
    with reader.running():
        publish(bus, Outgoing(topic.name, b"card-1", b"no payment"), sent(topic, payment("late", after=AHEAD)))
        wait_for_letters(bus, topic, 2)
        clock.advance(2 * AHEAD)
        done = sent_back(bus, topic)
        assert seen(bus, topic, done, reader) == Verdict({"not_json": 1}, is_final=True)
    assert [event.trace_id for event in reader.taken] == [payment("late").trace_id]
    assert len(values(bus, topic)) == 4
    assert {reason.error: (reason.waiting, reason.redriven) for reason in tally(bus, topic).reasons} == {
        "ahead_of_clock": (0, 1),
        "not_json": (1, 1),
    }
    assert len(plan(bus, topic, ALL).offsets) == 1


def test_nobody_is_waited_for_where_nobody_reads(bus: Bus, topic: Topic) -> None:
    reject(bus, rejected(topic, 0), at=START)
    done = sent_back(bus, topic)
    assert verdict(bus, topic, done, Patience((), 0.0, SystemClock(), time.sleep)) == Verdict({}, is_final=False)


def test_a_record_goes_back_as_it_was_and_in_its_order(bus: Bus, topic: Topic) -> None:
    headers = (("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), ("shop", b"\x00\xff"))
    records = [rejected(topic, n, value=b"\xff%d" % n)._replace(headers=headers) for n in range(450)]
    reject(bus, *records, at=START)
    assert sent_back(bus, topic).sent == 450
    back = everything(bus, topic)
    assert [record.value for record in back] == [record.value for record in records]
    assert {(record.key, record.headers) for record in back} == {(b"card-1", headers)}


def test_only_what_is_meant_goes_back(bus: Bus, topic: Topic) -> None:
    reject(bus, rejected(topic, 0), at=START)
    reject(bus, rejected(topic, 1), at=START + AHEAD)
    reject(bus, rejected(topic, 2), at=START + AHEAD, error="wrong_key")
    reject(bus, rejected(topic, 3), at=START)
    last = offsets(bus, topic)[-1]
    assert sent_back(bus, topic, Selection(error="wrong_key")).sent == 1
    assert sent_back(bus, topic, Selection(since=START + AHEAD)).sent == 1
    assert sent_back(bus, topic, Selection(offsets=frozenset({last}))).sent == 1
    assert sorted(value or b"" for value in values(bus, topic)) == [b"1", b"2", b"3"]
    with pytest.raises(PlatformError, match="no such dead letter at 4711"):
        sent_back(bus, topic, Selection(offsets=frozenset({4711})))


def test_what_was_not_kept_whole_is_refused_and_the_rest_goes(bus: Bus, topic: Topic) -> None:
    reject(
        bus,
        rejected(topic, 0, value=b"v" * (VALUE_BYTES_MAX + 1)),
        rejected(topic, 1, key=b"k" * (KEY_BYTES_MAX + 1)),
        rejected(topic, 2, key=None),
        rejected(topic, 3)._replace(value=None),
        rejected(topic, 4, value=b"v" * VALUE_BYTES_MAX),
        rejected(topic, 5),
        at=START,
    )
    for _ in range(2):
        done = sent_back(bus, topic)
        assert [refusal.explanation for refusal in done.refused] == [
            "only 2000000 of its 2000001 bytes were kept",
            "only 100000 bytes of its key were kept",
            "it has no key, without which no service reads it",
            "it has no value",
            "its key and value have 2000006 bytes; 1982616 can be sent",
        ]
    assert values(bus, topic) == [b"5"]
    assert tally(bus, topic).waiting == 5


def test_noise_on_the_dead_letter_topic_is_counted_and_in_nobodys_way(bus: Bus, topic: Topic) -> None:
    reject(bus, rejected(topic, 0), at=START)
    [letter] = newest_letters(bus, topic, ALL, count_max=1)
    strange = codec.encode(with_fields(letter.letter.event, topic=MODELS.name, offset=7))
    for noise in (b"\xff\x00", b"{}", b"", strange):
        publish(bus, Outgoing(topic.dead_letter_name, b"k", noise))
    reject(bus, rejected(topic, 1), at=START)
    assert tally(bus, topic).unreadable == 4
    assert len(newest_letters(bus, topic, ALL, count_max=10)) == 2
    assert sent_back(bus, topic).sent == 2
    assert values(bus, topic) == [b"0", b"1"]


class Interrupted:
    """A writer before whose every transaction something happens."""

    def __init__(self, writer: SoleWriter, before: Callable[[], None]) -> None:
        self._writer = writer
        self._before = before
        self.close = writer.close

    def write(self, outgoing: Sequence[Outgoing]) -> None:
        self._before()
        self._writer.write(outgoing)


def test_who_fails_in_the_middle_goes_on_where_it_was(bus: Bus, topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redriving, "_TRANSACTION_RECORDS_MAX", 3)
    reject(bus, *(rejected(topic, n) for n in range(8)), at=START)
    writer, outcomes = bus.sole_writer(topic.dead_letter_name), iter([None, None, BusUnavailableError("gone")])

    def fail_at_last() -> None:
        if error := next(outcomes):
            raise error

    with monkeypatch.context() as failing:
        failing.setattr(bus, "sole_writer", lambda _: Interrupted(writer, fail_at_last))
        with pytest.raises(BusUnavailableError):
            sent_back(bus, topic)
    assert len(values(bus, topic)) == 6
    done = sent_back(bus, topic)
    assert (done.sent, done.redriven_before) == (2, 6)
    assert values(bus, topic) == [b"%d" % n for n in range(8)]


def test_of_two_at_once_the_later_sends_and_the_earlier_is_told(
    bus: Bus, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    reject(bus, rejected(topic, 0), at=START)
    later: list[Redriven] = []
    with monkeypatch.context() as overtaken:
        earlier = bus.sole_writer(topic.dead_letter_name)

        def overtake() -> None:
            overtaken.undo()
            later.append(sent_back(bus, topic))

        overtaken.setattr(bus, "sole_writer", lambda _: Interrupted(earlier, overtake))
        with pytest.raises(PlatformError, match="somebody else began to send"):
            sent_back(bus, topic)
    assert [done.sent for done in later] == [1]
    assert values(bus, topic) == [b"0"]


def test_a_chained_topic_takes_nothing_twice() -> None:
    bus = MemoryBus(partitions=1)
    bus.create_topics([MODELS])
    with pytest.raises(PlatformError, match="announce it anew"):
        sent_back(bus, MODELS)
    with pytest.raises(PlatformError, match="announce it anew"):
        plan(bus, MODELS, ALL)
