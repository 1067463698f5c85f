"""What is announced on `policies`, and what an audit finds there."""

from collections.abc import Callable
from functools import partial

import pytest
from msgspec.structs import replace

from services.scoring.policy.document import PolicyError
from services.scoring.policy.kinds import PAYMENTS
from services.scoring.policy.publishing import (
    Author,
    History,
    audited,
    going_back,
    publication,
    text_digest,
    version_of,
)
from shared.bus.chained_log import ChainedLog
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.chain import link
from shared.contracts.events import PolicyEvent
from shared.contracts.topics import POLICIES, TOPICS
from tests.events import START

ADA = Author("ada", "a test", START)
A, B, C = "reasons_max: 1\n", "reasons_max: 2\n", "reasons_max: 3\n"


@pytest.fixture
def log() -> ChainedLog[PolicyEvent]:
    bus = MemoryBus(partitions=1)
    bus.create_topics(TOPICS)
    return ChainedLog(bus, POLICIES, PolicyEvent)


def publish(log: ChainedLog[PolicyEvent], *texts: str) -> None:
    for text in texts:
        log.append(partial(_next, text))


def _next(text: str, history: History) -> list[PolicyEvent]:
    return [publication(history, text, ADA, PAYMENTS)]


def go_back(log: ChainedLog[PolicyEvent], version: int | None = None) -> str:
    [event] = log.append(lambda history: [going_back(history, ADA, PAYMENTS, version=version)])
    return event.document


def values(log: ChainedLog[PolicyEvent]) -> list[bytes]:
    return [record.value or b"" for record in log.records()]


def test_versions_count_up_and_each_follows_the_one_before(log: ChainedLog[PolicyEvent]) -> None:
    publish(log, A, B, C)
    events = log.chain().events
    assert [(e.policy_version, e.document, e.policy_digest) for e in events] == [
        (at, text, text_digest(text)) for at, text in enumerate((A, B, C), start=1)
    ]
    assert audited(values(log)).problems == ()
    assert version_of(log.chain(), 2, PAYMENTS).document == B
    assert version_of(log.chain(), None, PAYMENTS).document == C


def test_going_back_twice_goes_back_two_and_what_was_left_is_not_returned_to(log: ChainedLog[PolicyEvent]) -> None:
    publish(log, A, B, C)
    assert [go_back(log), go_back(log)] == [B, A]
    with pytest.raises(PolicyError, match="no earlier policy"):
        go_back(log)
    assert go_back(log, 3) == C
    assert [event.policy_version for event in log.chain().events] == [1, 2, 3, 4, 5, 6]
    assert audited(values(log)).problems == ()


@pytest.mark.parametrize("text", ["ruls: []", "thresholds: {reviews_a_day: 5}", C])
def test_what_cannot_be_used_or_changes_nothing_is_not_announced(log: ChainedLog[PolicyEvent], text: str) -> None:
    publish(log, C)
    with pytest.raises(PolicyError):
        publish(log, text)
    assert len(log.chain().events) == 1


def test_a_reason_that_no_reader_takes_is_refused(log: ChainedLog[PolicyEvent]) -> None:
    with pytest.raises(PolicyError, match="reason"):
        publication(log.chain(), A, ADA._replace(reason="x" * 5_000), PAYMENTS)


def changed(found: list[bytes]) -> None:
    found[1] = codec.encode(replace(codec.decode(PolicyEvent, found[1]), actor="eve"))


def removed(found: list[bytes]) -> None:
    del found[1]


def slipped_in(found: list[bytes]) -> None:
    forged = replace(codec.decode(PolicyEvent, found[1]), policy_version=3, previous_digest=link(found[1]))
    found.insert(2, codec.encode(forged))


def another_text_at_the_end(found: list[bytes]) -> None:
    found[-1] = codec.encode(replace(codec.decode(PolicyEvent, found[-1]), document=A))


@pytest.mark.parametrize(
    ("tamper", "told"),
    [
        (changed, "record 2"),
        (removed, "record 1"),
        (slipped_in, "record 3"),
        (another_text_at_the_end, "version 3: its text has another digest"),
    ],
)
def test_an_audit_finds_what_was_tampered_with(
    log: ChainedLog[PolicyEvent], tamper: Callable[[list[bytes]], None], told: str
) -> None:
    publish(log, A, B, C)
    found = values(log)
    head = link(found[-1])
    tamper(found)
    problems = audited(found, earlier_head=head).problems
    assert any(told in problem for problem in problems), problems


def test_what_was_cut_off_shows_against_an_earlier_head(log: ChainedLog[PolicyEvent]) -> None:
    publish(log, A, B, C)
    found = values(log)
    assert audited(found, earlier_head=link(found[0])).behind_head == 2
    assert "cut off" in audited(found[:2], earlier_head=link(found[2])).problems[0]
