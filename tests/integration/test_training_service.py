"""The training service as it is wired, on the bus in memory: events in, a model out, and the archive beside it."""

import time
from collections.abc import Callable
from pathlib import Path

from services.training.app import build
from shared.bus.base import Outgoing
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.chain import first_broken_link
from shared.contracts.events import ModelEvent, RetrainingRequest
from shared.contracts.ids import new_event_id
from shared.contracts.topics import FEATURES, INTERACTIONS, ITEMS, LABELS, MODELS, RETRAINING, TOPICS, Topic
from shared.models.manifest import RecommendationManifest
from shared.models.registry import Registry
from shared.runtime.clock import SystemClock
from shared.store.memory import MemoryStore
from tests.events import TRACE_ID
from tests.unit.training.recommendation import shopping_scene
from tests.unit.training.training_scene import archive, settings, start_date, world

DEADLINE_SECONDS = 60
ARCHIVE_GROUP = "headrace-training-archive"


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_interactions_are_archived_and_a_request_brings_a_recommender(tmp_path: Path) -> None:
    bus, clock = MemoryBus(partitions=4), SystemClock()
    settings = shopping_scene.settings(tmp_path, archive_linger_seconds=0.05)
    service = build(settings, bus, MemoryStore(clock), clock)
    bus.create_topics(TOPICS)
    publisher = bus.publisher()
    visits = shopping_scene.visits()
    now = clock.now()
    request = RetrainingRequest(
        event_id=new_event_id(now),
        occurred_at=now,
        trace_id=TRACE_ID,
        model_name="recommendation",
        requested_by="drift",
        reason="click-through fell",
    )
    service.start()
    try:
        for topic, event in [*((INTERACTIONS, visit) for visit in visits), (ITEMS, shopping_scene.item("item-new"))]:
            publisher.send(Outgoing(topic.name, topic.key_of(event).encode(), codec.encode(event)))
        wait_for(lambda: sum(bus.group_lag(ARCHIVE_GROUP, [INTERACTIONS.name, ITEMS.name]).values()) == 0)
        publisher.send(Outgoing(RETRAINING.name, RETRAINING.key_of(request).encode(), codec.encode(request)))
        announced = bus.tail([MODELS.name], start="oldest")
        records = announced.poll(wait_seconds=DEADLINE_SECONDS)
    finally:
        service.shut_down()
    assert not service.failed.is_set()
    events = [codec.decode(ModelEvent, record.value or b"") for record in records]
    assert [(event.model_name, event.action) for event in events] == [
        ("recommendation", "registered"),
        ("recommendation", "promoted"),
    ]
    manifest = Registry(tmp_path, tracking_uri=None).manifest("recommendation", 1, kind=RecommendationManifest)
    assert (manifest.training_rows, manifest.items) == (len(visits), 2 * shopping_scene.ITEMS_A_TASTE + 1)
    assert events[0].feature_version == manifest.feature_version


def test_events_are_archived_and_a_request_brings_a_model(tmp_path: Path) -> None:
    bus, clock = MemoryBus(partitions=4), SystemClock()
    service = build(settings(tmp_path, archive_linger_seconds=0.05), bus, MemoryStore(clock), clock)
    bus.create_topics(TOPICS)
    publisher = bus.publisher()

    def send(topic: Topic, event: object) -> None:
        publisher.send(Outgoing(topic.name, topic.key_of(event).encode(), codec.encode(event)))  # type: ignore[arg-type]

    scene = world(days=12)
    service.start()
    try:
        for vector in scene.vectors:
            send(FEATURES, vector)
        for label in scene.labels:
            send(LABELS, label)
        wait_for(lambda: sum(bus.group_lag(ARCHIVE_GROUP, [FEATURES.name, LABELS.name]).values()) == 0)
        now = clock.now()
        request = RetrainingRequest(
            event_id=new_event_id(now),
            occurred_at=now,
            trace_id=TRACE_ID,
            model_name="fraud",
            requested_by="test",
            reason="the first model",
        )
        send(RETRAINING, request)
        announced = bus.tail([MODELS.name], start="oldest")
        records = announced.poll(wait_seconds=DEADLINE_SECONDS)
        assert service.problems() == {}
    finally:
        service.shut_down()
    assert not service.failed.is_set()
    events = [codec.decode(ModelEvent, record.value or b"") for record in records]
    assert [event.action for event in events] == ["registered", "promoted"]
    assert first_broken_link((record.value for record in records), ModelEvent) is None
    assert len(archive(tmp_path).labels(since=start_date())) == len(scene.labels)
