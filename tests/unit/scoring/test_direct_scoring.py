"""POST /v1/score beside the stream: one answer, one decision, the same one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from services.features.app import build as build_features
from services.features.settings import FeaturesSettings
from services.scoring.app import build as build_scoring
from services.scoring.settings import ScoringSettings
from shared.bus.base import Outgoing
from shared.contracts import codec
from shared.contracts.events import Decision, Transaction
from shared.contracts.topics import SCORES, TOPICS, TRANSACTIONS
from shared.features.progress import PROGRESS_KEY, applied, milliseconds
from shared.features.state import KEY_PREFIX
from shared.models.packages import Packages
from shared.runtime.clock import SystemClock
from shared.runtime.service import Service, add_operations_endpoints
from shared.store.base import StoreUnavailableError
from shared.store.memory import MemoryStore
from tests.events import START, payment
from tests.unit.ingest.serving import FaultyBus
from tests.unit.scoring.scoring_scene import promote, register, running, wait_until


class FaultyStore(MemoryStore):
    """A store that can go away."""

    away = False

    def append_and_read(
        self, appends: Sequence[tuple[str, bytes]], reads: Sequence[str], *, expire_after: timedelta
    ) -> list[bytes]:
        if self.away:
            raise StoreUnavailableError("Redis does not answer")
        return super().append_and_read(appends, reads, expire_after=expire_after)


@dataclass
class Scene:
    client: TestClient
    bus: FaultyBus
    store: FaultyStore
    features: Service

    def post(self, event: Transaction) -> httpx.Response:
        answer: httpx.Response = self.client.post("/v1/score", content=codec.encode(event))
        return answer

    def decisions(self, count: int) -> list[Decision]:
        """Return what is on `scores` once `count` decisions are there and the groups have nothing left to do."""
        wait_until(lambda: len(self._scores()) >= count and not self._waiting(), f"{count} decisions")
        return self._scores()

    def _waiting(self) -> int:
        groups = {"headrace-features-windows": ["transactions"], "headrace-scoring-decisions": ["features"]}
        return sum(sum(self.bus.group_lag(group, topics).values()) for group, topics in groups.items())

    def _scores(self) -> list[Decision]:
        records = self.bus.tail([SCORES.name], start="oldest").poll(wait_seconds=0)
        return [codec.decode(Decision, record.value or b"") for record in records]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    bus, clock = FaultyBus(), SystemClock()
    store = FaultyStore(clock)
    bus.create_topics(TOPICS)
    packages = Packages(tmp_path / "models")
    promote(bus, register(packages, 1))
    scoring = build_scoring(ScoringSettings(headrace_home=tmp_path), bus, store, clock)
    features = build_features(FeaturesSettings(headrace_home=tmp_path), bus, store, clock)
    add_operations_endpoints(scoring)
    with running(features), TestClient(scoring.app) as client:
        wait_until(lambda: not scoring.problems(), "ready")
        yield Scene(client, bus, store, features)


def test_the_answer_is_the_decision_that_goes_to_scores(scene: Scene) -> None:
    answer = scene.post(payment("large", amount=99_000))
    assert answer.status_code == 200
    assert codec.decode(Decision, answer.content).decision == "decline"
    assert scene.decisions(1) == [codec.decode(Decision, answer.content)]


def test_a_payment_scored_and_then_seen_on_the_log_counts_and_is_decided_once(scene: Scene) -> None:
    events = [payment(f"t{n}", after=timedelta(minutes=n), amount=60_000) for n in range(5)]
    answers = [codec.decode(Decision, scene.post(event).content) for event in events]
    for event in events:  # the shop also streams what it asked about
        scene.bus.publisher().send(Outgoing(TRANSACTIONS.name, event.card_id.encode(), codec.encode(event)))
    again = [codec.decode(Decision, scene.post(event).content) for event in events]
    assert again == answers
    assert sorted(scene.decisions(5), key=lambda d: d.transaction_id) == answers


def test_a_wrong_field_is_named_and_nothing_reaches_the_log(scene: Scene) -> None:
    answer = scene.client.post("/v1/score", content=codec.encode(payment("a")).replace(b"1999", b'"much"'))
    assert (answer.status_code, answer.json()["error"]["field"]) == (422, "amount")
    assert scene.bus.tail([TRANSACTIONS.name], start="oldest").poll(wait_seconds=0) == []


def test_without_the_log_nothing_is_taken_and_the_caller_is_told_to_retry(scene: Scene) -> None:
    scene.bus.away = True
    answer = scene.post(payment("a"))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert not [key for key in scene.store._values if key.startswith(KEY_PREFIX)]


def test_without_the_store_the_fallback_answers_and_says_so(scene: Scene) -> None:
    scene.store.away = True
    answer = codec.decode(Decision, scene.post(payment("a", amount=99_000)).content)
    assert (answer.decision, answer.degraded) == ("approve", ["features"])
    scene.store.away = False
    (on_scores,) = scene.decisions(1)
    assert (on_scores.decision, on_scores.degraded) == ("decline", [])


def test_a_state_far_behind_the_log_makes_the_decision_stale(scene: Scene) -> None:
    assert decided(scene, "before").degraded == []
    hour_ago = milliseconds(SystemClock().now()) - 3_600_000
    scene.store.patch(PROGRESS_KEY, patches=[applied(TRANSACTIONS.name, 60, through_ms=hour_ago, waiting_records=9)])
    assert decided(scene, "after").degraded == ["stale"]


def test_a_lost_state_makes_decisions_incomplete_on_both_paths_and_the_service_not_ready(scene: Scene) -> None:
    decided(scene, "before")
    scene.decisions(1)
    scene.store._values.clear()
    assert decided(scene, "after", after=timedelta(minutes=1)).degraded == ["incomplete"]
    assert [decision.degraded for decision in scene.decisions(2)] == [[], ["incomplete"]]
    wait_until(lambda: "headrace rebuild" in scene.features.problems().get("state", ""), "told to rebuild")


def test_a_payment_dated_far_ahead_is_refused(scene: Scene) -> None:
    tomorrow = SystemClock().now() - START + timedelta(days=1)
    answer = scene.post(payment("a", after=tomorrow))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "ahead_of_clock")


def decided(scene: Scene, transaction_id: str, **fields: timedelta) -> Decision:
    return codec.decode(Decision, scene.post(payment(transaction_id, **fields)).content)


def test_the_openapi_document_describes_the_payment_and_the_decision(scene: Scene) -> None:
    document = scene.client.get("/openapi.json").json()
    operation = document["paths"]["/v1/score"]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
    assert "event_id" not in document["components"]["schemas"][body]["required"]
    assert set(operation["responses"]) >= {"200", "413", "422", "503"}
