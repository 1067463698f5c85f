"""The drift service as wired, on the in-memory bus."""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from services.drift.app import build
from services.drift.handlers import TOPIC_NAMES, Monitor
from services.drift.recommendation.handlers import TOPIC_NAMES as RECOMMENDATION_TOPIC_NAMES
from services.drift.settings import DriftSettings
from services.drift.shown.status import Snapshot
from shared.bus.base import Outgoing, Tail
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.events import DriftAlarm, Event
from shared.contracts.topics import DRIFT, RETRAINING, TOPICS
from shared.models.packages import Packages
from shared.runtime.clock import SystemClock
from shared.runtime.loop import Delivery, Loop
from shared.runtime.service import Service
from shared.store.memory import MemoryStore
from tests.models import local_registry
from tests.unit.drift.click_scene import click, impression, reco_promotion
from tests.unit.drift.drift_scene import MISSED, decided_frauds, manifest, promotion, register

SECONDS_MAX = 30.0
FEW_LISTS = {"headrace_drift_baseline_lists": 60, "headrace_drift_baseline_hours": 0}


def _publish(bus: MemoryBus, events: Iterable[Event]) -> None:
    publisher = bus.publisher()
    for event in events:
        topic = next(topic for topic in TOPICS if topic.event is type(event))
        publisher.send(Outgoing(topic.name, topic.key_of(event).encode(), codec.encode(event)))


def _next_alarm(tail: Tail) -> DriftAlarm:
    deadline = time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        for record in tail.poll(wait_seconds=0.5):
            return codec.decode(DriftAlarm, record.value or b"")
    pytest.fail("no alarm came")


def _wait_until_read(bus: MemoryBus, group: str, topics: Sequence[str] = TOPIC_NAMES) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while any(bus.group_lag(group, topics).values()):
        assert time.monotonic() < deadline, "the service does not read on"
        time.sleep(0.02)


@pytest.fixture
def bus() -> MemoryBus:
    bus = MemoryBus(partitions=4)
    bus.create_topics(TOPICS)
    return bus


@pytest.fixture
def started() -> Iterator[list[Service]]:
    services: list[Service] = []
    yield services
    for service in services:
        service.shut_down()


def _start(bus: MemoryBus, home: Path, started: list[Service], **settings: Any) -> Service:
    service = build(DriftSettings(headrace_home=home, **settings), bus, MemoryStore(SystemClock()), SystemClock())
    service.start()
    started.append(service)
    return service


def test_a_restarted_service_finds_the_model_in_service(bus: MemoryBus, tmp_path: Path, started: list[Service]) -> None:
    register(tmp_path, manifest())
    _publish(bus, [promotion()])
    first = _start(bus, tmp_path, started)
    _wait_until_read(bus, "headrace-drift-monitor")
    first.shut_down()
    started.clear()

    _start(bus, tmp_path, started)
    tail = bus.tail([DRIFT.name], start="oldest")
    _publish(bus, decided_frauds(MISSED))
    assert _next_alarm(tail).model_version == 1


def test_a_service_that_was_killed_goes_on_and_asks_no_second_time(
    bus: MemoryBus, tmp_path: Path, started: list[Service]
) -> None:
    register(tmp_path, manifest())
    first = _start(bus, tmp_path, started)
    _publish(bus, [promotion(), *decided_frauds(MISSED)])
    assert _next_alarm(bus.tail([DRIFT.name], start="oldest")).signal == "recall"
    _wait_until_read(bus, "headrace-drift-monitor")
    first.closers = ()  # nothing is written on the way out
    first.shut_down()
    started.clear()

    second = _start(bus, tmp_path, started)
    _publish(bus, decided_frauds(MISSED, first=100))
    _wait_until_read(bus, "headrace-drift-monitor")
    told = [record.topic for record in bus.tail([DRIFT.name, RETRAINING.name], start="oldest").poll(wait_seconds=0.5)]
    assert sorted(told) == [DRIFT.name, RETRAINING.name]
    (model,) = msgspec.json.decode(TestClient(second.app).get("/v1/drift").content, type=Snapshot).models
    assert (model.model_name, model.model_version) == ("fraud", 1)
    assert model.request is not None
    assert "training has not answered yet" in model.waits_for
    assert [alarm.signal for alarm in model.alarms] == ["recall"]


def test_recommendations_are_watched_beside_payments(bus: MemoryBus, tmp_path: Path, started: list[Service]) -> None:
    _start(bus, tmp_path, started, headrace_drift_click_window_seconds=0.05, **FEW_LISTS)
    tail = bus.tail([DRIFT.name], start="oldest")
    _publish(bus, [reco_promotion(7)])
    _publish(bus, [event for number in range(60) for event in (impression(number, version=7), click(number))])
    time.sleep(0.1)  # their time for clicks passes
    _publish(bus, [impression(number, version=7) for number in range(60, 120)])
    time.sleep(0.1)
    _publish(bus, [click(-1, recommendation_id=None)])
    alarm = _next_alarm(tail)
    assert (alarm.model_name, alarm.model_version, alarm.signal) == ("recommendation", 7, "click_through")


def test_a_restarted_service_finds_the_recommender_in_service(
    bus: MemoryBus, tmp_path: Path, started: list[Service]
) -> None:
    _publish(bus, [reco_promotion(7)])
    first = _start(bus, tmp_path, started)
    _wait_until_read(bus, "headrace-drift-recommendations", RECOMMENDATION_TOPIC_NAMES)
    first.shut_down()
    started.clear()
    _publish(bus, [event for number in range(60) for event in (impression(number, version=7), click(number))])
    _publish(bus, [impression(number, version=7) for number in range(60, 120)])
    time.sleep(0.1)
    _publish(bus, [click(-1, recommendation_id=None)])
    _start(bus, tmp_path, started, headrace_drift_click_window_seconds=0.05, **FEW_LISTS)
    assert _next_alarm(bus.tail([DRIFT.name], start="oldest")).model_version == 7


def test_readiness_names_the_version_that_is_missing(bus: MemoryBus, tmp_path: Path, started: list[Service]) -> None:
    local_registry(tmp_path)
    service = _start(bus, tmp_path, started)
    _publish(bus, [promotion()])
    _wait_until_read(bus, "headrace-drift-monitor")
    assert "has no fraud 1" in service.problems()["model"]
    assert not service.failed.is_set()


def test_an_alarm_survives_a_fenced_commit_and_is_published_once(
    bus: MemoryBus, tmp_path: Path, started: list[Service]
) -> None:
    register(tmp_path, manifest())
    clock = SystemClock()
    monitor = Monitor(Packages(tmp_path / "models").manifest, DriftSettings(headrace_home=tmp_path), clock)
    answered = []

    def rebalanced_once(deliveries: Sequence[Delivery]) -> Sequence[Outgoing]:
        answer = monitor(deliveries)
        if answer:
            answered.append(answer)
        if len(answered) == 1:
            bus.subscribe(loop.group, TOPIC_NAMES, instance="passer-by").close()
        return answer

    loop = Loop(
        service="drift",
        name="monitor",
        bus=bus,
        topics=TOPIC_NAMES,
        handler=rebalanced_once,
        clock=clock,
        instance="0",
    )
    _publish(bus, [promotion(), *decided_frauds(MISSED)])
    service = Service(name="drift", app=FastAPI(), workers=(loop,))
    service.start()
    started.append(service)
    tail = bus.tail([DRIFT.name], start="oldest")
    alarm = _next_alarm(tail)
    _wait_until_read(bus, loop.group)
    assert tail.poll(wait_seconds=0) == []
    assert answered == [answered[0]] * 2, "refused once, then given again"
    assert alarm.event_id == codec.decode(DriftAlarm, answered[0][0].value).event_id
