"""Scoring behind its gate, with the features service beside it, over a log and a store that can go away."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from fastapi.testclient import TestClient

from services.features.app import build as build_features
from services.features.settings import FeaturesSettings
from services.scoring.app import build as build_scoring
from services.scoring.settings import ScoringSettings
from shared.access.gate import gate_for, guarded
from shared.access.roles import ROLES_BY_PATH
from shared.bus.base import Bus, Record
from shared.contracts import codec
from shared.contracts.events import Decision, Transaction
from shared.contracts.topics import SCORES, TOPICS, TRANSACTIONS
from shared.models.packages import Packages
from shared.runtime.clock import SystemClock
from shared.runtime.service import Service, add_operations_endpoints
from shared.store.base import Store, StoreUnavailableError
from shared.store.memory import MemoryStore
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
class RestScene:
    client: TestClient
    bus: Bus
    store: Store
    features: Service
    scoring: Service

    def post(self, event: Transaction) -> httpx.Response:
        answer: httpx.Response = self.client.post("/v1/score", content=codec.encode(event))
        return answer

    def decided(self, event: Transaction) -> Decision:
        return decision_in(self.post(event))

    def scores(self, count: int) -> list[bytes]:
        """What is on `scores` once `count` decisions are there and nobody has anything left to do."""
        wait_until(lambda: len(self._records(SCORES.name)) >= count and not self.waiting(), f"{count} decisions")
        return [record.value or b"" for record in self._records(SCORES.name)]

    def decisions(self, count: int) -> list[Decision]:
        return [codec.decode(Decision, value) for value in self.scores(count)]

    def payments(self) -> list[bytes]:
        """What is on `transactions`."""
        return [record.value or b"" for record in self._records(TRANSACTIONS.name)]

    def waiting(self) -> int:
        groups = {"headrace-features-windows": ["transactions"], "headrace-scoring-decisions": ["features"]}
        on_the_log = sum(sum(self.bus.group_lag(group, topics).values()) for group, topics in groups.items())
        return on_the_log + self.in_journal()

    def in_journal(self) -> int:
        return int(self.metric("headrace_journal_waiting_entries"))

    def metric(self, sample: str) -> float:
        lines = self.client.get("/metrics").text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(sample))

    def _records(self, topic: str) -> list[Record]:
        return self.bus.tail([topic], start="oldest").poll(wait_seconds=0)


def decision_in(answer: httpx.Response) -> Decision:
    return codec.decode(Decision, decision_bytes(answer))


def decision_bytes(answer: httpx.Response) -> bytes:
    """The decision's own bytes: the answer without the member put before them."""
    assert answer.status_code == 200, answer.text
    first, rest = answer.content.split(b",", 1)
    decision = b"{" + rest
    assert first == b'{"decision_id":"%b"' % codec.decode(Decision, decision).event_id.encode()
    return decision


@contextmanager
def rest_scene(
    home: Path,
    *,
    bus: Bus | None = None,
    store: Store | None = None,
    promoted: bool = True,
    ready: bool = True,
    **settings: Any,
) -> Iterator[RestScene]:
    """Everything running; `promoted`: with a model that calls large amounts fraud."""
    clock = SystemClock()
    bus = bus or FaultyBus()
    store = store or FaultyStore(clock)
    bus.create_topics(TOPICS)
    if promoted:
        promote(bus, register(Packages(home / "models"), 1))
    configured = ScoringSettings(headrace_home=home, **settings)
    scoring = build_scoring(configured, bus, store, clock)
    features = build_features(FeaturesSettings(headrace_home=home), bus, store, clock)
    add_operations_endpoints(scoring)
    app = guarded(scoring.app, scoring.gate or gate_for(configured, clock), ROLES_BY_PATH)
    with running(features), TestClient(app) as client:
        wait_until(lambda: not ready or not scoring.problems(), "ready")
        yield RestScene(client, bus, store, features, scoring)
