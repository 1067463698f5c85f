"""Retraining requests: what is announced, what is not done twice, and what happens when a run comes to no end."""

from pathlib import Path

import pytest

from services.training.handlers import LIMITED
from shared.bus.base import BusUnavailableError
from shared.bus.memory import MemoryBus, MemorySoleWriter
from shared.contracts import codec
from shared.contracts.chain import first_broken_link
from shared.contracts.events import DeadLetter, ModelEvent
from shared.contracts.topics import RETRAINING
from shared.features.catalog.fraud import FRAUD
from shared.runtime import metrics
from shared.runtime.loop import Delivery
from tests.model_events import model_event
from tests.unit.training.request_scene import INTERVAL, SECOND, Service, actions


class AwayOnce(MemoryBus):
    """A log that goes away when somebody begins to write, the first time."""

    away = True

    def sole_writer(self, topic: str) -> MemorySoleWriter:
        if self.away:
            self.away = False
            raise BusUnavailableError("Kafka does not answer")
        return super().sole_writer(topic)


def test_the_outcome_of_a_run_is_announced_with_what_proves_it(tmp_path: Path) -> None:
    service = Service(tmp_path)
    request = service.requested("first")
    registered, promoted = service.answered(request)
    assert actions([registered, promoted]) == [("registered", 1), ("promoted", 1)]
    assert (registered.manifest_digest, registered.data_digest) == ("a" * 64, "d" * 64)
    assert promoted.model_digest == registered.model_digest
    assert promoted.trace_id == request.event.trace_id
    assert promoted.feature_version == FRAUD.version
    assert registered.metrics == {"average_precision": 0.5}


def test_it_shows_while_a_model_is_being_trained(tmp_path: Path) -> None:
    def running(model_name: str) -> float | None:
        return metrics.REGISTRY.get_sample_value("headrace_training_running", {"model": model_name})

    service, seen = Service(tmp_path), list[tuple[float | None, float | None]]()
    service.trainer.during = lambda: seen.append((running("fraud"), running("recommendation")))
    service.answered(service.requested("first"))
    assert seen == [(1.0, 0.0)]
    assert running("fraud") == 0.0


def test_a_request_that_comes_again_trains_once_whoever_gets_it(tmp_path: Path) -> None:
    """As after a crash between the announcement and the commit of the request."""
    service = Service(tmp_path)
    request = service.requested("first")
    assert len(service.answered(request)) == 2
    # As if it had been made again later: only its id tells that it is the same.
    again = Delivery(request.record._replace(produced_ms=10**15), request.event)
    assert service.answered(again) == []
    assert service.restarted().answered(again) == []
    assert len(service.trainer.judged_by) == 1


def test_requests_made_before_the_data_was_read_are_answered_by_one_run(tmp_path: Path) -> None:
    service = Service(tmp_path)
    storm = [service.alarmed(f"alarm {at}") for at in range(10)]
    assert [len(service.answered(request)) for request in storm] == [2] + [0] * 9
    assert len(service.answered(service.requested("later"))) == 2
    assert service.trainer.judged_by == [0, 1]


def test_a_log_that_goes_away_after_a_run_costs_no_second_run(tmp_path: Path) -> None:
    service = Service(tmp_path, AwayOnce(partitions=1))
    request = service.requested("first")
    with pytest.raises(BusUnavailableError):
        service.answered(request)
    assert actions(service.answered(request)) == [("registered", 1), ("promoted", 1)]
    assert len(service.trainer.judged_by) == 1


def test_drift_must_wait_between_runs_and_is_told_until_when(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.answered(service.requested("first"))
    (refused,) = service.answered(service.alarmed("too soon"))
    assert actions([refused]) == [("refused", 0)]
    assert "ask again after 2026-03-02 12:01:01Z" in refused.reason
    assert len(service.answered(service.requested("a person"))) == 2, "people are not limited"
    service.clock.advance(INTERVAL)
    assert actions(service.answered(service.alarmed("late enough")))[-1] == ("promoted", 3)


def test_a_refusal_for_being_too_soon_is_no_run(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.answered(service.requested("first"))
    early = service.requested("made before the refusal, and delivered after it")
    assert actions(service.answered(service.alarmed("too soon"))) == [("refused", 0)]
    assert len(service.answered(early)) == 2, "a refusal without a run answers nobody else"
    service.clock.advance(INTERVAL - 3 * SECOND)
    assert len(service.answered(service.alarmed("counted from the run, not from the refusal"))) == 1


def test_a_request_whose_runs_fail_twice_is_refused_and_the_service_goes_on(tmp_path: Path) -> None:
    service = Service(tmp_path)
    storm = [service.requested(f"storm {at}") for at in range(3)]
    service.trainer.during = lambda: print(1 // 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            service.answered(storm[0])
        service = service.restarted()
    (refused,) = service.answered(storm[0])
    assert actions([refused]) == [("refused", 0)]
    assert "failed twice: ZeroDivisionError" in refused.reason
    assert [service.answered(request) for request in storm[1:]] == [[], []], "the same data would fail them as well"
    service.trainer.during = lambda: None
    assert actions(service.answered(service.requested("after it was mended")))[-1][0] == "promoted"
    assert list((tmp_path / "attempts").iterdir()) == []


def test_runs_that_take_the_process_along_count_as_well(tmp_path: Path) -> None:
    def killed() -> None:
        raise SystemExit

    service = Service(tmp_path)
    request = service.requested("first")
    service.trainer.during = killed
    for _ in range(2):
        with pytest.raises(SystemExit):
            service.answered(request)
        service = service.restarted()
    (refused,) = service.answered(request)
    assert "failed twice: the process ended in mid-run" in refused.reason


def test_one_failure_is_forgiven(tmp_path: Path) -> None:
    service = Service(tmp_path)
    request = service.requested("first")
    service.trainer.during = lambda: print(1 // 0)
    with pytest.raises(ZeroDivisionError):
        service.answered(request)
    service = service.restarted()
    service.trainer.during = lambda: None
    assert actions(service.answered(request))[-1][0] == "promoted"
    assert list((tmp_path / "attempts").iterdir()) == []


def test_a_home_that_cannot_be_written_is_told_to_whoever_asked(tmp_path: Path) -> None:
    (tmp_path / "attempts").write_text("in the way")
    service = Service(tmp_path)
    (refused,) = service.answered(service.requested("first"))
    assert str(tmp_path / "attempts") in refused.reason
    assert service.trainer.judged_by == []


def test_two_processes_with_the_same_request_announce_one_answer(tmp_path: Path) -> None:
    """The group was rebalanced while the first one trained: the second gets the request too, and is faster."""
    slow = Service(tmp_path / "slow")
    fast = Service(tmp_path / "fast", slow.bus, slow.clock)
    request = slow.requested("first")
    slow.trainer.during = lambda: print(fast.answered(request))
    assert actions(slow.answered(request)) == [("registered", 1), ("promoted", 1)]
    assert (len(slow.trainer.judged_by), len(fast.trainer.judged_by)) == (1, 1)
    assert len(slow.log.history().events) == 2


@pytest.mark.parametrize("action", ["promoted", "rolled_back"])
def test_what_a_person_decides_in_mid_run_stands(tmp_path: Path, action: str) -> None:
    service = Service(tmp_path)
    for name in ("first", "second"):
        service.answered(service.requested(name))
    decided = model_event(action, 1, name="by hand", actor="ada")  # type: ignore[arg-type]
    service.trainer.during = lambda: print(service.log.append(lambda _: [decided]))
    assert actions(service.answered(service.requested("third"))) == [(action, 1), ("registered", 3), ("refused", 3)]
    history = service.log.history()
    assert "version 1 came into force in the place of version 2" in history.events[-1].reason
    champion = history.champion("fraud")
    assert champion is not None
    assert champion.model_version == 1


def test_the_chain_goes_on_over_runs_restarts_and_people(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.answered(service.requested("first"))
    service.log.append(lambda _: [model_event("archived", 1, actor="ada")])
    service.restarted().answered(service.requested("second"))
    values = [record.value for record in service.log.records()]
    assert len(values) == 5
    assert first_broken_link(values, ModelEvent) is None


def test_each_model_has_its_trainer_its_champion_and_its_own_turn(tmp_path: Path) -> None:
    service = Service(tmp_path)
    service.answered(service.alarmed("fraud drifts"))
    registered, promoted = service.answered(service.requested("tastes change", by=LIMITED, model_name="recommendation"))
    assert [event.model_name for event in (registered, promoted)] == ["recommendation"] * 2
    assert (len(service.trainer.judged_by), service.recommender.judged_by) == (1, [0])
    assert [event.model_name for event in service.recommender.shown] == ["recommendation"]
    service.clock.advance(INTERVAL)
    service.answered(service.alarmed("fraud drifts again"))
    assert (service.trainer.judged_by, service.recommender.judged_by) == ([0, 1], [0])


def test_a_request_for_an_unknown_model_is_rejected(tmp_path: Path) -> None:
    service = Service(tmp_path)
    (rejected,) = service.handler([service.requested("first", model_name="churn")])
    assert rejected.topic == RETRAINING.dead_letter_name
    letter = codec.decode(DeadLetter, rejected.value)
    assert letter.error == "unknown_model"
    assert "'fraud'" in letter.explanation
