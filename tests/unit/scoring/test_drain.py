"""From the journal to the log: what was answered reaches it once, whatever went before."""

from collections.abc import Sequence
from pathlib import Path

from services.scoring.answers import ANSWERED_FOR, answer_key, answer_record
from services.scoring.deciding import decision_id_of
from services.scoring.journal import Entry, Journal
from shared.bus.base import Outgoing
from shared.contracts import codec
from shared.contracts.events import Decision, Transaction
from shared.contracts.topics import TRANSACTIONS
from shared.runtime.clock import SystemClock
from tests.events import TRACE_ID, payment
from tests.unit.ingest.serving import FaultyBus
from tests.unit.scoring.rest_scene import FaultyStore, rest_scene
from tests.unit.scoring.scoring_scene import wait_until


def answered(event: Transaction) -> bytes:
    """A decision as an instance that is gone has answered it."""
    decision = Decision(
        event_id=decision_id_of(event),
        occurred_at=event.occurred_at,
        trace_id=TRACE_ID,
        transaction_id=event.transaction_id,
        card_id=event.card_id,
        decision="review",
        score=0.6,
        reasons=[],
        model_name="fraud",
        model_version=7,
        model_digest="0" * 64,
        feature_version="0" * 64,
        vector_digest="0" * 64,
        policy_digest="0" * 64,
    )
    return codec.encode(decision)


def leave_behind(folder: Path, events: Sequence[Transaction], *, is_settled: bool) -> list[bytes]:
    """Write what an instance answered before it was killed; return the answers."""
    journal = Journal(folder)
    journal.open()
    entries = [Entry(e.card_id.encode(), codec.encode(e), answered(e), is_settled, 0) for e in events]
    journal.append(entries)
    journal.close()
    return [entry.decision for entry in entries]


def test_what_an_instance_left_is_claimed_before_the_stream_decides_then_published(tmp_path: Path) -> None:
    bus, events = FaultyBus(), [payment(f"t{number}") for number in range(5)]
    answers = leave_behind(tmp_path / "journal" / "a", events, is_settled=False)
    bus.create_topics([TRANSACTIONS])
    for event in events:  # the shop streamed them too: their vectors may be there before scoring is
        bus.publisher().send(Outgoing(TRANSACTIONS.name, event.card_id.encode(), codec.encode(event)))
    with rest_scene(tmp_path, bus=bus, headrace_instance="a") as scene:
        assert sorted(scene.scores(5)) == sorted(answers)
        assert scene.decided(payment("t5")).degraded == []
    assert not (tmp_path / "journal" / "a").exists()


def test_journals_of_instances_that_are_gone_are_emptied_and_removed(tmp_path: Path) -> None:
    gone = [leave_behind(tmp_path / "journal" / name, [payment(name)], is_settled=False) for name in ("b", "c")]
    alive = Journal(tmp_path / "journal" / "d")
    alive.open()
    alive.append([Entry(b"card-1", codec.encode(payment("d")), answered(payment("d")), True, 0)])
    with rest_scene(tmp_path, headrace_instance="a") as scene:
        assert sorted(scene.scores(2)) == sorted(decision for (decision,) in gone)
        wait_until(lambda: not (tmp_path / "journal" / "b").exists(), "removed")
        wait_until(lambda: not (tmp_path / "journal" / "c").exists(), "removed")
        assert len(list(alive.batches(entries_max=9))) == 1
    alive.close()


def test_without_the_log_at_the_end_the_answers_wait_for_the_next_start(tmp_path: Path) -> None:
    store = FaultyStore(SystemClock())
    events = [payment(f"t{number}", amount=99_000) for number in range(5)]
    with rest_scene(tmp_path, store=store, headrace_instance="a") as scene:
        assert isinstance(scene.bus, FaultyBus)
        scene.bus.away = True
        answers = [codec.encode(scene.decided(event)) for event in events]
    bus = FaultyBus()
    with rest_scene(tmp_path, bus=bus, store=store, promoted=False, headrace_instance="a") as scene:
        assert sorted(scene.scores(5)) == sorted(answers)


def test_an_answer_that_came_second_is_told_and_the_first_is_the_decision(tmp_path: Path) -> None:
    store, event = FaultyStore(SystemClock()), payment("a")
    first = answered(event).replace(b'"review"', b'"approve"')
    key = answer_key(decision_id_of(event))
    store.append_and_read([(key, answer_record(first))], [], expire_after=ANSWERED_FOR)
    leave_behind(tmp_path / "journal" / "a", [event], is_settled=False)
    with rest_scene(tmp_path, store=store, headrace_instance="a") as scene:
        assert scene.scores(1) == [first]
        assert scene.metric("headrace_superseded_answers_total") >= 1


def test_a_second_instance_of_the_same_name_is_not_ready_and_takes_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal" / "a")
    journal.open()
    try:
        with rest_scene(tmp_path, ready=False, headrace_instance="a") as scene:
            wait_until(lambda: "HEADRACE_INSTANCE" in scene.scoring.problems().get("drain", ""), "told")
            answer = scene.post(payment("a"))
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
            journal.close()
            wait_until(lambda: not scene.scoring.problems(), "ready once the other is gone")
            assert scene.post(payment("a")).status_code == 200
    finally:
        journal.close()
