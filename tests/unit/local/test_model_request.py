"""Asking for a model and hearing what became of it."""

from datetime import timedelta

import pytest

from services.local.errors import PlatformError
from services.local.model_request import follow_models, request_training
from shared.bus.base import Outgoing
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.events import ModelEvent, RetrainingRequest
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import TOPICS
from shared.runtime.clock import ManualClock
from tests.events import START, TRACE_ID


@pytest.fixture
def bus() -> MemoryBus:
    bus = MemoryBus(partitions=4)
    bus.create_topics(TOPICS)
    return bus


def announce(bus: MemoryBus, model_name: str, action: str, *, actor: str = "training") -> None:
    event = ModelEvent(
        event_id=derived_event_id(START, model_name, action),
        occurred_at=START,
        trace_id=TRACE_ID,
        model_name=model_name,
        model_version=2,
        action=action,  # type: ignore[arg-type]
        model_digest="0" * 64,
        feature_version="1" * 64,
        actor=actor,
        reason="because",
        previous_digest=None,
    )
    bus.publisher().send(Outgoing("models", model_name.encode(), codec.encode(event)))


def test_the_request_says_who_asked_and_why(bus: MemoryBus) -> None:
    request = request_training(bus, ManualClock(START), requested_by="ada", reason="new merchants")
    [record] = bus.tail(["retraining"], start="oldest").poll(wait_seconds=1.0)
    assert record.key == b"fraud"
    assert codec.decode(RetrainingRequest, record.value or b"") == request
    assert (request.requested_by, request.reason) == ("ada", "new merchants")


def test_following_ends_with_the_outcome_of_a_run_for_the_own_model(bus: MemoryBus) -> None:
    tail = bus.tail(["models"], start="newest")
    announce(bus, "recommendation", "refused")
    announce(bus, "fraud", "registered")
    announce(bus, "fraud", "promoted", actor="ada")
    announce(bus, "fraud", "refused", actor="training-rate-limit")
    announce(bus, "fraud", "promoted")
    announce(bus, "fraud", "registered")
    actions = [event.action for event in follow_models(tail, ManualClock(START), seconds_max=1.0)]
    assert actions == ["registered", "promoted"]


def test_a_model_on_trial_ends_the_run_that_made_it(bus: MemoryBus) -> None:
    tail = bus.tail(["models"], start="newest")
    announce(bus, "fraud", "registered")
    announce(bus, "fraud", "shadowed")
    actions = [event.action for event in follow_models(tail, ManualClock(START), seconds_max=1.0)]
    assert actions == ["registered", "shadowed"]


def test_no_answer_in_time_is_an_error_that_says_where_to_look(bus: MemoryBus) -> None:
    clock = ManualClock(START)
    answers = follow_models(bus.tail(["models"], start="newest"), clock, seconds_max=1.0)
    announce(bus, "fraud", "registered")
    assert next(answers).action == "registered"
    clock.advance(timedelta(seconds=2))
    with pytest.raises(PlatformError, match="headrace status"):
        next(answers)
