"""Payments that come in at the same moment are worked on together, and answered as if each had come alone."""

import asyncio
import random
import resource
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from services.scoring.answers import Unclaimed, answer_key
from services.scoring.direct import AT_ONCE_MAX, Answer, DirectScoring, Limits
from services.scoring.hot_path import PAYMENT
from services.scoring.journal import Journal
from services.scoring.policy.lists import Lists
from services.scoring.policy.policy import BEFORE_THE_FIRST
from services.scoring.roles import Roles
from services.scoring.scorer import Scorer
from services.scoring.state import StateReader
from shared.contracts import codec
from shared.contracts.events import Decision, Transaction
from shared.features.catalog.fraud import FRAUD
from shared.features.definitions import Entity
from shared.features.engine import FeatureEngine
from shared.features.progress import PROGRESS_KEY, needed_hours, whole
from shared.features.state import entity_key, identity
from shared.intake.problems import IntakeError, NotTakenError, UnacknowledgedError
from shared.intake.taking import take
from shared.runtime.clock import SystemClock
from shared.store.base import AsyncStore, StoreTimeoutError
from shared.store.event_loop import ImmediateStore
from shared.store.memory import MemoryStore
from tests.events import payment

ENGINE = FeatureEngine(FRAUD)
WIDE = Limits(state_seconds=1.0, open_payments=1_000, journal_bytes=10_000_000)


class Parts(NamedTuple):
    """A scoring without a model, and what it answers from and into."""

    direct: DirectScoring
    journal: Journal
    unclaimed: Unclaimed


def parts(
    home: Path, store: AsyncStore, *, limits: Limits = WIDE, is_synced: bool = False, instance: str = "a"
) -> Parts:
    clock, lists, journal, unclaimed = (
        SystemClock(),
        Lists(),
        Journal(home / instance, is_synced=is_synced),
        Unclaimed(),
    )
    journal.open()
    reader = StateReader(ENGINE, store, lambda: lists, clock, age_max=timedelta(minutes=1))
    scorer = Scorer(Roles, lambda: BEFORE_THE_FIRST, fallback="approve")
    direct = DirectScoring(
        reader,
        store,
        scorer,
        journal,
        unclaimed,
        clock,
        limits=limits,
        is_synced=is_synced,
        not_ready=lambda: None,
    )
    return Parts(direct, journal, unclaimed)


async def decided(direct: DirectScoring, events: Sequence[Transaction]) -> list[Answer | BaseException]:
    """Post everything before the event loop's next turn."""
    posts = (direct.decided(take(PAYMENT, codec.encode(event))) for event in events)
    return await asyncio.gather(*posts, return_exceptions=True)


def answers(found: Sequence[Answer | BaseException]) -> list[Answer]:
    failed = [each for each in found if isinstance(each, BaseException)]
    assert failed == []
    return [each for each in found if isinstance(each, Answer)]


def memory() -> AsyncStore:
    return MemoryStore(SystemClock()).on_event_loop()


def events_of_few(count: int) -> list[Transaction]:
    chance = random.Random(1)
    return [
        payment(
            f"t{number}",
            after=timedelta(minutes=chance.randrange(200)),
            card_id=f"card-{chance.randrange(3)}",
            merchant_id=f"merchant-{chance.randrange(2)}",
            amount=chance.randrange(100_000),
        )
        for number in range(count)
    ]


def in_journal(journal: Journal) -> list[tuple[bytes, bytes]]:
    return [(entry.payment, entry.decision) for batch in journal.batches(entries_max=9) for entry in batch.entries]


def test_together_gives_the_vectors_and_decisions_of_one_at_a_time(tmp_path: Path) -> None:
    events = events_of_few(2 * AT_ONCE_MAX + 10)

    async def run() -> None:
        at_once = answers(await decided(parts(tmp_path, memory()).direct, events))
        alone = parts(tmp_path, memory(), instance="b").direct
        one_by_one = [answers(await decided(alone, [event]))[0] for event in events]
        assert at_once == one_by_one

    asyncio.run(run())


def test_the_same_payment_at_the_same_moment_and_the_next_is_decided_once(tmp_path: Path) -> None:
    event = payment("a")

    async def run() -> None:
        direct, journal, _ = parts(tmp_path, memory())
        first = answers(await decided(direct, [event, event, payment("b"), event]))
        again = answers(await decided(direct, [event]))
        assert len({answer.decision for answer in (*first[:2], first[3], *again)}) == 1
        assert {decision for kept, decision in in_journal(journal) if b'"a"' in kept} == {first[0].decision}

    asyncio.run(run())


def test_two_processes_that_decide_the_same_payment_answer_the_same(tmp_path: Path) -> None:
    store = MemoryStore(SystemClock())
    event = payment("a")

    class Elsewhere(ImmediateStore):
        """Another process claims its answer right after this one has read that there is none."""

        async def append_and_read(
            self,
            appends: Sequence[tuple[str, bytes]],
            reads: Sequence[str],
            *,
            expire_after: timedelta,
            seconds_max: float,
        ) -> list[bytes]:
            values = await super().append_and_read(appends, reads, expire_after=expire_after, seconds_max=seconds_max)
            if len(reads) > 1:
                others.append(answers(await decided(other.direct, [event]))[0])
            return values

    others: list[Answer] = []
    other = parts(tmp_path, store.on_event_loop(), instance="other")

    async def run() -> None:
        direct, journal, _ = parts(tmp_path, Elsewhere(store))
        (own,) = answers(await decided(direct, [event]))
        assert own.decision == others[0].decision
        assert in_journal(journal)[0][1] == others[0].decision

    asyncio.run(run())


class Late(ImmediateStore):
    """A store that answers the first question and is too late with the claim, while `late`."""

    late = True

    async def append_and_read(
        self, appends: Sequence[tuple[str, bytes]], reads: Sequence[str], *, expire_after: timedelta, seconds_max: float
    ) -> list[bytes]:
        if self.late and reads and reads[0].startswith("headrace:answered:"):
            raise StoreTimeoutError("too late")
        return await super().append_and_read(appends, reads, expire_after=expire_after, seconds_max=seconds_max)


def test_a_claim_that_comes_too_late_costs_no_features_and_is_left_to_the_drain(tmp_path: Path) -> None:
    async def run() -> None:
        plain = MemoryStore(SystemClock())
        store = Late(plain)
        direct, journal, unclaimed = parts(tmp_path, store)
        (answer,) = answers(await decided(direct, [payment("a")]))
        assert codec.decode(Decision, answer.decision).degraded == ["model", "incomplete"]
        assert unclaimed == {answer.decision_id: answer.decision}
        (batch,) = journal.batches(entries_max=9)
        assert [entry.is_settled for entry in batch.entries] == [False]
        store.late = False
        plain.patch(PROGRESS_KEY, patches=[whole(needed_hours(FRAUD))])
        again, other = answers(await decided(direct, [payment("a"), payment("b")]))
        assert again.decision == answer.decision
        assert codec.decode(Decision, other.decision).degraded == ["model"]

    asyncio.run(run())


def test_a_state_that_cannot_be_read_is_one_payments_trouble_only(tmp_path: Path) -> None:
    store = MemoryStore(SystemClock())
    store.put(entity_key(Entity.CARD, identity("broken")), b"no records", expire_after=None)

    async def run() -> None:
        direct = parts(tmp_path, store.on_event_loop()).direct
        found = answers(await decided(direct, [payment("a"), payment("b", card_id="broken"), payment("c")]))
        assert [len(answer.vector.values) for answer in found] == [len(FRAUD.features), 0, len(FRAUD.features)]
        assert codec.decode(Decision, found[1].decision).degraded == ["model", "features"]

    asyncio.run(run())


def test_beyond_its_bounds_nothing_is_taken(tmp_path: Path) -> None:
    store = MemoryStore(SystemClock())

    async def run() -> None:
        crowded = parts(tmp_path, store.on_event_loop(), limits=WIDE._replace(open_payments=2)).direct
        found = await decided(crowded, events_of_few(3))
        assert [type(each) for each in found] == [Answer, Answer, NotTakenError]
        full = parts(tmp_path, store.on_event_loop(), limits=WIDE._replace(journal_bytes=1), instance="b").direct
        assert answers(await decided(full, [payment("first")]))
        before = dict(store._values)
        (refused,) = await decided(full, [payment("second")])
        assert isinstance(refused, IntakeError)
        assert (refused.problem.code, refused.status, refused.retry_after_seconds) == ("journal_full", 503, 1)
        assert store._values == before

    asyncio.run(run())


def test_a_disk_that_takes_nothing_is_told_and_the_repeat_gets_the_claimed_answer(tmp_path: Path) -> None:
    store = MemoryStore(SystemClock())

    async def run() -> None:
        direct, journal, unclaimed = parts(tmp_path, store.on_event_loop())
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
        try:
            (refused,) = await decided(direct, [payment("a")])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert isinstance(refused, UnacknowledgedError)
        assert (refused.status, refused.retry_after_seconds) == (503, 1)
        (answer,) = answers(await decided(direct, [payment("a")]))
        assert store._values[answer_key(answer.decision_id)] == answer.decision + b"\n"
        assert [decision for _, decision in in_journal(journal)] == [answer.decision]
        assert unclaimed == {}

    asyncio.run(run())


def test_synced_answers_are_in_the_journal_whoever_shares_the_wait(tmp_path: Path) -> None:
    async def run() -> None:
        direct, journal, _ = parts(tmp_path, memory(), is_synced=True)
        events = events_of_few(30)
        found = [*await decided(direct, events[:10]), *await decided(direct, events[10:])]
        assert [decision for _, decision in in_journal(journal)] == [answer.decision for answer in answers(found)]

    asyncio.run(run())
