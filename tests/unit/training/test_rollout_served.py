"""Rollouts with everything that takes part, as it is wired: scoring decides, training archives, judges and announces."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from services.scoring.app import build as build_scoring
from services.scoring.settings import ScoringSettings
from services.training.app import build as build_training
from services.training.model_log import ModelLog
from shared.bus.base import Outgoing
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.chain import first_broken_link
from shared.contracts.events import Decision, FeatureVector, ModelEvent
from shared.contracts.topics import FEATURES, SCORES, TOPICS
from shared.features.catalog.fraud import FRAUD
from shared.models.manifest import Manifest
from shared.models.packages import Packages
from shared.runtime.clock import SystemClock
from shared.runtime.service import Service
from shared.store.memory import MemoryStore
from tests.events import START
from tests.model_events import Action, model_event
from tests.models import local_registry
from tests.unit.scoring.scoring_scene import AMOUNT, register, running, wait_until
from tests.unit.training.training_scene import settings, vector

SMALL, BETWEEN, LARGE = 1_000, 40_000, 90_000
CARDS = 100
STAGES = {"shadow_payments": 150, "canary_payments": 60, "canary_share": 0.4, "watch_payments": 150}


@dataclass
class Platform:
    """Scoring and training over one log: version 1 declines amounts above 50,000 and is in force."""

    home: Path
    bus: MemoryBus = field(default_factory=lambda: MemoryBus(partitions=2))
    clock: SystemClock = field(default_factory=SystemClock)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.bus.create_topics(TOPICS)
        self.log = ModelLog(self.bus)
        self.packages = Packages(self.home / "models")
        # There to be asked: a promotion is shown in MLflow too.
        local_registry(self.home)
        one = register(self.packages, 1)
        self.announce("registered", one)
        self.announce("promoted", one)

    def tried(self, version: int, *, above: float) -> None:
        """Announce a version that declines other amounts, as training does where drift asked for it."""
        manifest = register(self.packages, version, above=above)
        self.announce("registered", manifest)
        self.announce("shadowed", manifest)

    def announce(self, action: Action, manifest: Manifest) -> None:
        event = model_event(
            action,
            manifest.model_version,
            occurred_at=self.clock.now(),
            model_digest=manifest.model_digest,
            feature_version=FRAUD.version,
        )
        self.log.append(lambda _: [event])

    @contextmanager
    def up(self) -> Iterator[None]:
        with running(self._training(), self._scoring()):
            yield

    def _scoring(self) -> Service:
        store = MemoryStore(self.clock)
        return build_scoring(ScoringSettings(headrace_home=self.home), self.bus, store, self.clock)

    def _training(self) -> Service:
        stages = settings(
            self.home, label_delay_days=0.0, rollout_interval_seconds=0.05, archive_linger_seconds=0.05, **STAGES
        )
        return build_training(stages, self.bus, MemoryStore(self.clock), self.clock)

    def pay_until(self, *wanted: tuple[str, int], amounts: tuple[int, ...] = (SMALL,) * 19 + (LARGE,)) -> None:
        """Let payments come until the last events on `models` are `wanted`."""

        def reached() -> bool:
            for amount, number in zip(amounts, self.numbers, strict=False):
                self._send(self._paid(number, amount))
            return tuple((e.action, e.model_version) for e in self.log.history().events[-len(wanted) :]) == wanted

        wait_until(reached, f"{wanted}")

    def _paid(self, number: int, amount: int) -> FeatureVector:
        values = [0.0] * len(FRAUD.features)
        values[AMOUNT] = amount
        after = self.clock.now() - START + timedelta(microseconds=number)
        return vector(f"t{number}", after=after, values=values, card_id=f"card-{number * 7 % CARDS}")

    def _send(self, event: FeatureVector) -> None:
        key = FEATURES.key_of(event).encode()
        self.bus.publisher().send(Outgoing(FEATURES.name, key, codec.encode(event))).result()

    def decided_last(self) -> tuple[int, str]:
        """Return which version made the latest decision, and which; one more payment is on its way."""
        last = max(self.decisions(), key=lambda decision: decision.occurred_at)
        self._send(self._paid(next(self.numbers), BETWEEN))
        return last.model_version, last.decision

    def decisions(self) -> list[Decision]:
        tail = self.bus.tail([SCORES.name], start="oldest")
        records = []
        while not tail.caught_up():
            records += tail.poll(wait_seconds=0.1)
        return [codec.decode(Decision, record.value or b"") for record in records]


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(tmp_path)


def test_a_version_becomes_challenger_canary_and_champion_and_a_restart_changes_nothing(platform: Platform) -> None:
    platform.tried(2, above=60_000)
    with platform.up():
        platform.pay_until(("canaried", 2))
    with platform.up():
        platform.pay_until(("promoted", 2), ("shadowed", 1))
    with platform.up():
        platform.pay_until(("withdrawn", 1))
    actions = [(event.action, event.model_version) for event in platform.log.history().events]
    assert actions == [
        ("registered", 1),
        ("promoted", 1),
        ("registered", 2),
        ("shadowed", 2),
        ("canaried", 2),
        ("promoted", 2),
        ("shadowed", 1),
        ("withdrawn", 1),
    ]
    decisions = platform.decisions()
    assert len({each.transaction_id for each in decisions}) == len(decisions)
    roles = list(dict.fromkeys((each.model_version, each.model_role) for each in decisions))
    assert sorted(roles) == [(1, "champion"), (2, "canary"), (2, "champion")]
    assert first_broken_link([record.value for record in platform.log.records()], ModelEvent) is None


def test_a_version_that_declines_everybody_never_decides(platform: Platform) -> None:
    platform.tried(2, above=100)
    with platform.up():
        platform.pay_until(("withdrawn", 2))
    assert {each.model_version for each in platform.decisions()} == {1}
    assert "version 2 reviews or declines 100.00% of the payments" in platform.log.history().events[-1].reason


def test_a_champion_that_begins_to_decline_too_many_is_rolled_back(platform: Platform) -> None:
    """What payments are like changes after it came into force: only then do the two versions differ."""
    platform.tried(2, above=20_000)
    with platform.up():
        platform.pay_until(("canaried", 2))
        platform.pay_until(("promoted", 2), ("shadowed", 1))
        platform.pay_until(("rolled_back", 1), amounts=(BETWEEN,) * 20)
        wait_until(lambda: platform.decided_last() == (1, "approve"), "version 1 decides again")
    assert "version 2 reviews or declines" in platform.log.history().events[-1].reason
