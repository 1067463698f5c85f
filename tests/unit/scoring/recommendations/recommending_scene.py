"""Scoring with a small recommender in service: whatever a test puts on the log or into the store, asked over REST."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from fastapi.testclient import TestClient

from services.scoring.app import build
from services.scoring.settings import ScoringSettings
from services.training.recommendation.export import export
from services.training.recommendation.recommender import Component, Neighbours, Recommender
from shared.bus.base import Bus, Outgoing
from shared.contracts import codec
from shared.contracts.events import Event
from shared.contracts.shopping import Impression, Interaction, Item, User
from shared.contracts.topics import IMPRESSIONS, INTERACTIONS, ITEMS, MODELS, TOPICS, Topic
from shared.models.manifest import RECOMMENDATION, RecommendationManifest
from shared.models.packages import Packages
from shared.recommendation.feature_version import FEATURE_VERSION
from shared.recommendation.history import history_key, packed, profile_key
from shared.runtime.clock import Clock, SystemClock
from shared.runtime.service import Service, add_operations_endpoints
from shared.store.base import Store
from tests.model_events import Action, model_event
from tests.unit.ingest.serving import FaultyBus
from tests.unit.scoring.recommendations.catalogue_scene import item
from tests.unit.scoring.recommendations.shop_events import interaction
from tests.unit.scoring.rest_scene import FaultyStore
from tests.unit.scoring.scoring_scene import wait_until

GOODS = ("tent", "stove", "lamp", "boots", "socks", "hat", "scarf", "gloves")
"""The model's items; each is followed by the next, less by the one after that; the first is the most popular."""
LIFETIME = timedelta(days=180)


def small_recommender(goods: Sequence[str] = GOODS) -> Recommender:
    count = len(goods)
    following = (np.arange(count)[:, np.newaxis] + np.arange(1, 4)) % count
    strengths = np.tile(np.array([0.9, 0.5, 0.2], dtype=np.float32), (count, 1))
    falling = np.linspace(0.08, 0.01, count, dtype=np.float32)
    return Recommender(
        item_ids=tuple(goods),
        components=(Component("next", Neighbours(following.astype(np.int32), strengths), weight=1.0, decay=0.8),),
        popularity=np.stack([falling, falling[::-1]]),
        popularity_weight=1.0,
        segments=("winter",),
        segment_attribute="season",
        kind_weights={"view": 1.0, "cart": 2.0, "purchase": 3.0, "like": 2.0},
        half_life_seconds=None,
    )


def register(
    home: Path, version: int = 1, recommender: Recommender | None = None, *, feature_version: str = FEATURE_VERSION
) -> RecommendationManifest:
    recommender = recommender or small_recommender()
    onnx = export(recommender)
    manifest = RecommendationManifest(
        model_name=RECOMMENDATION,
        model_version=version,
        model_digest=hashlib.sha256(onnx).hexdigest(),
        feature_version=feature_version,
        family="blend",
        trained_at=datetime(2026, 3, 1, tzinfo=UTC),
        data_digest="0" * 64,
        training_rows=100,
        metrics={},
        items=len(recommender.item_ids),
        users=10,
        probes=[],
    )
    Packages(home / "models").add(manifest, onnx)
    return manifest


def announce(bus: Bus, action: Action, manifest: RecommendationManifest, *, share: float | None = None) -> None:
    event = model_event(
        action,
        manifest.model_version,
        model_name=RECOMMENDATION,
        model_digest=manifest.model_digest,
        feature_version=manifest.feature_version,
        share=share,
    )
    bus.publisher().send(Outgoing(MODELS.name, RECOMMENDATION.encode(), codec.encode(event))).result()


def item_ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [shown["item_id"] for shown in answer.json()["items"]]


@dataclass
class RecommendingScene:
    client: TestClient
    bus: Bus
    store: Store
    service: Service
    home: Path

    def get(self, path: str, **parameters: Any) -> httpx.Response:
        answer: httpx.Response = self.client.get(path, params=parameters)
        return answer

    def recommended(self, user_id: str = "u1", **parameters: Any) -> Any:
        answer = self.get(f"/v1/recommendations/{user_id}", **parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def shown(self, user_id: str = "u1", **parameters: Any) -> list[str]:
        return [each["item_id"] for each in self.recommended(user_id, **parameters)["items"]]

    def post(self, path: str, body: Any) -> httpx.Response:
        answer: httpx.Response = self.client.post(path, json=body)
        return answer

    def did(self, user_id: str, *done: tuple[str, str], at: datetime | None = None) -> None:
        """Put interactions, (kind, item) each, the latest last, where the features service puts them."""
        first = at or datetime.now(UTC) - timedelta(minutes=len(done))
        records = [
            packed(interaction(user_id, item_id, kind, at=first + timedelta(seconds=number)))
            for number, (kind, item_id) in enumerate(done)
        ]
        self.store.append_and_read([(history_key(user_id), b"".join(records))], [], expire_after=LIFETIME)

    def is_in(self, user_id: str, **attributes: str) -> None:
        profile = User(
            event_id=interaction(user_id, "x").event_id,
            occurred_at=datetime.now(UTC),
            trace_id="1" * 32,
            user_id=user_id,
            attributes=dict(attributes),
        )
        self.store.put(profile_key(user_id), codec.encode(profile), expire_after=LIFETIME)

    def offer(self, *items: Item) -> None:
        """Put items into the catalogue, and wait until it knows them."""
        publish(self.bus, ITEMS, items)
        wait_until(lambda: all(self._is_offered(each) for each in items), "the catalogue knows")

    def _is_offered(self, entry: Item) -> bool:
        catalogue = next(worker for worker in self.service.workers if worker.name == "catalogue")
        known = catalogue.item(entry.item_id)  # type: ignore[attr-defined]
        return bool((known is None) if entry.is_deleted else known == entry)

    def happened(self, *interactions: Interaction) -> None:
        publish(self.bus, INTERACTIONS, interactions)

    def impressions(self) -> list[Impression]:
        """What is on record by now."""
        records = self.bus.tail([IMPRESSIONS.name], start="oldest").poll(wait_seconds=0)
        return [codec.decode(Impression, record.value or b"") for record in records]

    def impression_of(self, answer: Mapping[str, Any]) -> Impression:
        """What is on record of an answer, as soon as it is there."""
        of_id = {answer["recommendation_id"]}
        wait_until(lambda: of_id <= {each.recommendation_id for each in self.impressions()}, "the impression")
        return next(each for each in self.impressions() if each.recommendation_id in of_id)


def publish(bus: Bus, topic: Topic, events: Sequence[Event]) -> None:
    publisher = bus.publisher()
    for event in events:
        publisher.send(Outgoing(topic.name, topic.key_of(event).encode(), codec.encode(event))).result()


@contextmanager
def recommending_scene(
    home: Path,
    *,
    bus: Bus | None = None,
    store: Store | None = None,
    clock: Clock | None = None,
    recommender: Recommender | None = None,
    promoted: bool = True,
    **settings: Any,
) -> Iterator[RecommendingScene]:
    """Scoring, ready; `promoted`: with a recommender."""
    clock = clock or SystemClock()
    bus = bus or FaultyBus()
    store = store or FaultyStore(clock)
    bus.create_topics(TOPICS)
    if promoted:
        announce(bus, "promoted", register(home, recommender=recommender))
    service = build(ScoringSettings(headrace_home=home, **settings), bus, store, clock)
    add_operations_endpoints(service)
    with TestClient(service.app) as client:
        wait_until(lambda: not service.problems(), "ready")
        yield RecommendingScene(client, bus, store, service, home)
    assert not service.failed.is_set()


def goods(**of_items: Mapping[str, Any]) -> list[Item]:
    """Return catalogue entries; of_items: by item id, what is said of each."""
    return [item(item_id, **said) for item_id, said in of_items.items()]
