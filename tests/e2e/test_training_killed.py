"""Training is killed in mid-run and again behind its answer: scoring decides on, and the request is answered once."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest

from services.local.platform import Platform
from services.training.model_log import ModelLog
from shared.bus.base import Bus, Outgoing, Tail
from shared.contracts import codec
from shared.contracts.chain import first_broken_link
from shared.contracts.events import Decision, Event, ModelEvent, RetrainingRequest
from shared.contracts.ids import new_event_id
from shared.contracts.topics import FEATURES, LABELS, RETRAINING, SCORES, Topic
from shared.models.packages import Packages
from shared.runtime.clock import SystemClock
from tests.model_events import model_event
from tests.models import local_registry
from tests.unit.scoring.scoring_scene import register
from tests.unit.training.training_scene import world

pytestmark = pytest.mark.servers

PATIENCE_SECONDS = 180
SETTINGS = {
    "HEADRACE_TRAINING_LABEL_DELAY_DAYS": "2",
    "HEADRACE_TRAINING_ROWS_MIN": "200",
    "HEADRACE_TRAINING_FAMILIES": "logistic_l2",
    "HEADRACE_TRAINING_SEARCH_SECONDS": "0",
    "HEADRACE_TRAINING_SLICES": "1",
    "HEADRACE_TRAINING_FOLDS": "1",
    "HEADRACE_TRAINING_JOBS": "1",
}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    home = tmp_path_factory.mktemp("platform")
    local_registry(home)
    with Platform(home, SETTINGS, ["training", "scoring"]) as running:
        running.start(lambda _: None)
        yield running


def send(bus: Bus, topic: Topic, events: Sequence[Event]) -> None:
    publisher = bus.publisher()
    for future in [
        publisher.send(Outgoing(topic.name, topic.key_of(event).encode(), codec.encode(event))) for event in events
    ]:
        future.result(timeout=60)


def wait_until(reached: Callable[[], bool], told: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < deadline, f"never: {told}"
        time.sleep(0.05)


def put_in_service(platform: Platform) -> None:
    manifest = register(Packages(platform.home / "models"), 1)
    events = [model_event(action, 1, model_digest=manifest.model_digest) for action in ("registered", "promoted")]
    ModelLog(platform.bus()).append(lambda _: events)


def requested(bus: Bus) -> RetrainingRequest:
    now = SystemClock().now()
    request = RetrainingRequest(
        event_id=new_event_id(now),
        occurred_at=now,
        trace_id="5" * 32,
        model_name="fraud",
        requested_by="test",
        reason="a run to be killed",
    )
    send(bus, RETRAINING, [request])
    return request


def answer_to(platform: Platform, request: RetrainingRequest) -> list[ModelEvent]:
    return [event for event in ModelLog(platform.bus()).history().events if event.trace_id == request.trace_id]


def nothing_waits(bus: Bus, group: str, topics: list[str]) -> bool:
    return sum(bus.group_lag(group, topics).values()) == 0


def decided(tail: Tail, count: int) -> list[Decision]:
    decisions: list[Decision] = []

    def reached() -> bool:
        decisions.extend(codec.decode(Decision, record.value or b"") for record in tail.poll(wait_seconds=0.2))
        return len(decisions) >= count

    wait_until(reached, f"{count} decisions")
    return decisions


def test_a_killed_run_is_repeated_and_answered_once_while_scoring_decides_on(platform: Platform) -> None:
    bus, scene = platform.bus(), world(days=12)
    put_in_service(platform)
    training = platform.service("training")
    send(bus, FEATURES, scene.vectors)
    send(bus, LABELS, scene.labels)
    archived = [FEATURES.name, LABELS.name]
    wait_until(lambda: nothing_waits(bus, "headrace-training-archive", archived), "archived")
    wait_until(lambda: nothing_waits(bus, "headrace-scoring-decisions", [FEATURES.name]), "decided")

    request = requested(bus)
    attempt = platform.home / "attempts" / request.event_id
    wait_until(attempt.exists, "the run has begun")
    wait_until(lambda: "services.training.trainer" in training.log_tail(), "the trainer has its data")
    training.kill()
    assert answer_to(platform, request) == []

    tail = bus.tail([SCORES.name], start="newest")
    meanwhile = world(days=1, first_day=20).vectors
    send(bus, FEATURES, meanwhile)
    decisions = decided(tail, len(meanwhile))
    assert {decision.model_version for decision in decisions} == {1}
    assert set(Counter(decision.transaction_id for decision in decisions).values()) == {1}

    def answered() -> bool:
        assert training.running(), training.log_tail()
        return answer_to(platform, request) != []

    training.start()
    wait_until(answered, "the request is answered")
    # At once: its progress may not be committed yet, so that the request may come a third time.
    training.kill()
    training.start()
    wait_until(lambda: nothing_waits(bus, "headrace-training-requests", [RETRAINING.name]), "nothing is left to answer")
    answer = answer_to(platform, request)
    assert [event.action for event in answer][:1] == ["registered"]
    assert len([event for event in answer if event.action in {"promoted", "refused"}]) == 1
    assert first_broken_link((record.value for record in ModelLog(bus).records()), ModelEvent) is None
    wait_until(lambda: not attempt.exists(), "the attempts are forgotten")
