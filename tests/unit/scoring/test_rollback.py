"""A promotion and a rollback in the middle of traffic: every payment is decided once, by the version in force."""

from collections import Counter
from itertools import groupby
from pathlib import Path

from services.scoring.app import build
from services.scoring.settings import ScoringSettings
from shared.bus.base import Outgoing
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.events import Decision, FeatureVector
from shared.contracts.topics import FEATURES, SCORES, TOPICS
from shared.features.catalog.fraud import FRAUD
from shared.models.packages import Packages
from shared.runtime.clock import SystemClock
from shared.store.memory import MemoryStore
from tests.events import FRESH, TRACE_ID, payment
from tests.unit.scoring.scoring_scene import announce, register, running, wait_until

AT_ONCE = 20


class Traffic:
    """Payments that keep coming, and what was decided about them."""

    def __init__(self, bus: MemoryBus) -> None:
        self._bus = bus
        self._decided = bus.tail([SCORES.name], start="oldest")
        self.sent = 0
        self.decisions: list[Decision] = []

    def until_decided_by(self, version: int) -> None:
        """Send payments until some are decided by `version`."""

        def reached() -> bool:
            self._send()
            self._read()
            return bool(self.decisions) and self.decisions[-1].model_version == version

        wait_until(reached, f"decided by version {version}")

    def until_all_decided(self) -> None:
        def reached() -> bool:
            self._read()
            return len(self.decisions) >= self.sent

        wait_until(reached, "all decided")

    def _send(self) -> None:
        publisher = self._bus.publisher()
        for number in range(self.sent, self.sent + AT_ONCE):
            event = payment(f"t{number}")
            vector = FeatureVector(
                event_id=event.event_id,
                occurred_at=event.occurred_at,
                trace_id=TRACE_ID,
                transaction=event,
                feature_set=FRAUD.name,
                feature_version=FRAUD.version,
                values=[0.0] * len(FRAUD.features),
                freshness=FRESH,
            )
            publisher.send(Outgoing(FEATURES.name, event.card_id.encode(), codec.encode(vector)))
        self.sent += AT_ONCE

    def _read(self) -> None:
        records = self._decided.poll(wait_seconds=0)
        self.decisions += [codec.decode(Decision, record.value or b"") for record in records]


def test_a_rollback_takes_effect_while_traffic_flows(tmp_path: Path) -> None:
    bus, clock = MemoryBus(partitions=1), SystemClock()
    bus.create_topics(TOPICS)
    packages = Packages(tmp_path / "models")
    first, second = register(packages, 1), register(packages, 2)
    announce(bus, "promoted", first)
    scoring = build(ScoringSettings(headrace_home=tmp_path), bus, MemoryStore(clock), clock)
    traffic = Traffic(bus)
    with running(scoring):
        traffic.until_decided_by(1)
        announce(bus, "promoted", second)
        traffic.until_decided_by(2)
        announce(bus, "rolled_back", first)
        traffic.until_decided_by(1)
        traffic.until_all_decided()
    assert set(Counter(decision.transaction_id for decision in traffic.decisions).values()) == {1}
    assert len(traffic.decisions) == traffic.sent
    assert [version for version, _ in groupby(decision.model_version for decision in traffic.decisions)] == [1, 2, 1]
    assert not any(decision.degraded for decision in traffic.decisions)
