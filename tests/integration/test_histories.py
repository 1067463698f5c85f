"""From POST /v1/interactions to the shopper's history in Redis, over a real log."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.features.app import build as build_features
from services.features.settings import FeaturesSettings
from shared.bus.base import Bus
from shared.bus.kafka import KafkaBus
from shared.contracts.topics import TOPICS
from shared.features.state import identity
from shared.recommendation.history import history_key, history_of, profile_key
from shared.runtime.clock import SystemClock
from shared.store.base import Store
from shared.store.redis import open_store
from tests.unit.features.shoppers import KEPT_FOR
from tests.unit.ingest.serving import Running, serving
from tests.unit.scoring.scoring_scene import running, wait_until

pytestmark = pytest.mark.servers

CLOCK = SystemClock()


@pytest.fixture
def store(redis_url: str) -> Iterator[Store]:
    opened = open_store(redis_url, timeout_seconds=5)
    yield opened
    opened.close()


@pytest.fixture
def ingest(kafka_bus: Bus, kafka_servers: str, redis_url: str, tmp_path: Path) -> Iterator[Running]:
    """Ingest, with features behind it."""
    kafka_bus.create_topics(TOPICS)
    features = build_features(
        FeaturesSettings(headrace_home=tmp_path),
        KafkaBus(kafka_servers, partitions=4),
        open_store(redis_url, timeout_seconds=5),
        CLOCK,
    )
    with running(features), serving(bus=kafka_bus, clock=CLOCK, headrace_home=tmp_path) as ingest:
        yield ingest


def test_a_click_is_in_the_history_and_a_deleted_user_is_not(ingest: Running, store: Store) -> None:
    user_id = f"user-{uuid.uuid4().hex}"

    def values() -> list[bytes]:
        return store.append_and_read([], [history_key(user_id), profile_key(user_id)], expire_after=KEPT_FOR)

    def items() -> list[int]:
        return history_of(values()[0])["item"].tolist()  # type: ignore[no-any-return]

    def click(item_id: str) -> None:
        body = {"user_id": user_id, "item_id": item_id, "kind": "view", "occurred_at": CLOCK.now()}
        assert ingest.post("/v1/interactions", body).status_code == 202

    for item_id in ("one", "two"):
        click(item_id)
    ingest.client.put(f"/v1/users/{user_id}", content=b'{"attributes":{"country":"DE"}}')
    wait_until(lambda: items() == [identity("two"), identity("one")], "two clicks")
    wait_until(lambda: b'"country":"DE"' in values()[1], "the profile")
    ingest.client.delete(f"/v1/users/{user_id}")
    wait_until(lambda: items() == [], "forgotten")
    click("three")
    wait_until(lambda: items() == [identity("three")], "a new history")
