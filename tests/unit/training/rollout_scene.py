"""Payments that versions with a role on `models` decide or look at, in the archive; and the worker that rolls out.

A payment's risk is known; risks above FRAUD_FROM are fraud, and labels say so an hour later. A version is what it makes of
a risk: a score, or None where it has none.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from services.training.model_log import ModelLog
from services.training.rollout.job import RolloutJob
from services.training.shadows import VERDICTS
from shared.bus.memory import MemoryBus
from shared.contracts.events import (
    Decision,
    Event,
    FeatureVector,
    ModelEvent,
    ModelRole,
    ShadowScore,
    Transaction,
    Verdict,
)
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import FEATURES, LABELS, SCORES, SHADOWS, TOPICS, Topic
from shared.features.catalog.fraud import FRAUD
from shared.models import lineage
from shared.runtime.clock import ManualClock
from shared.runtime.loop import Delivery
from tests.events import START, TRACE_ID, label, payment
from tests.model_events import Action, model_event
from tests.unit.training.training_scene import archive, record, settings, vector

HOUR = timedelta(hours=1)
CARDS = 60
FRAUD_FROM, DECLINE_FROM = 0.9, 0.95
Model = Callable[[float], float | None]
SMALL: dict[str, Any] = {
    "label_delay_days": 0.25,
    "shadow_payments": 200,
    "canary_payments": 100,
    "canary_share": 0.4,
    "watch_payments": 400,
    "rollout_hours_max": 48.0,
}


def knowing(risk: float) -> float:
    return risk


def blind(risk: float) -> float:
    """Score as often as the others, and without regard to the risk."""
    return zlib.crc32(f"{risk:.9f}".encode()) / 2**32


def declining(risk: float) -> float:
    return max(risk, DECLINE_FROM)


def failing(_risk: float) -> None:
    """Have no score for any."""


@dataclass
class Scene:
    """A log and an archive; version 1 is in force, and version 2 has passed the gates for drift."""

    home: Path
    models: dict[int, Model] = field(default_factory=lambda: {1: knowing, 2: knowing, 3: knowing})
    changes: dict[str, Any] = field(default_factory=dict)
    bus: MemoryBus = field(default_factory=lambda: MemoryBus(partitions=1))
    clock: ManualClock = field(default_factory=lambda: ManualClock(START))
    shown: list[ModelEvent] = field(default_factory=list)
    paid: int = 0
    written: int = 0

    def __post_init__(self) -> None:
        self.bus.create_topics(TOPICS)
        self.archive = archive(self.home)
        self.log = ModelLog(self.bus)
        self.announce("registered", 1)
        self.announce("promoted", 1)
        self.tried(2)

    def job(self) -> RolloutJob:
        """Return the worker of a process that has just begun."""
        changed = settings(self.home, **(SMALL | self.changes))
        return RolloutJob(self.archive, FRAUD, self.log, changed, self.clock, show_champion=self.shown.append)

    def announce(self, action: Action, version: int, *, actor: str = "training", **fields: Any) -> None:
        """Put an event on the log, now."""
        self.clock.advance(timedelta(seconds=1))
        fields = {"feature_version": FRAUD.version, "occurred_at": self.clock.now(), "actor": actor} | fields
        event = model_event(action, version, name=str(self.clock.now()), **fields)
        self.log.append(lambda _: [event])

    def tried(self, version: int) -> None:
        """Announce a version that drift asked for, as training does."""
        self.announce("registered", version)
        self.announce("shadowed", version)

    def look(self) -> list[tuple[str, int]]:
        return [(event.action, event.model_version) for event in self.job().look()]

    @property
    def last(self) -> ModelEvent:
        return self.log.history().events[-1]

    def pay(self, count: int, *, over: timedelta = HOUR) -> None:
        """Let payments come, spread over a time that passes meanwhile, and be archived."""
        roles = lineage.standing(self.log.history().events, "fraud")
        events: dict[Topic, list[Event]] = {topic: [] for topic in (FEATURES, SCORES, SHADOWS, LABELS)}
        for at in range(1, count + 1):
            self.paid += 1
            paid = payment(f"t{self.paid}", after=self.clock.now() - START + over * at / count, card_id=self._card())
            events[FEATURES] += [_vector(paid)] if at in {1, count} else []
            decision = self._decision(paid, roles)
            events[SCORES].append(decision)
            events[SHADOWS] += [self._shadow(decision, each.model_version) for each in roles.challengers]
            events[LABELS] += [label(paid, known_after=HOUR)] if self._risk() > FRAUD_FROM else []
        self.clock.advance(over)
        for topic, each in events.items():
            self.archived(topic, each)

    def archived(self, topic: Topic, events: Sequence[Event]) -> None:
        """Write events to the archive, each as the log took it in when it happened."""
        at = [int(event.occurred_at.timestamp() * 1000) for event in events]
        records = [record(topic, e, offset=self.written + n, produced_ms=at[n]) for n, e in enumerate(events)]
        self.written += len(events)
        if events:
            self.archive.write([Delivery(*each) for each in zip(records, events, strict=True)])

    def _card(self) -> str:
        return f"card-{self.paid % CARDS}"

    def _risk(self) -> float:
        return (self.paid * 37 % 101) / 101

    def _decision(self, paid: Transaction, roles: lineage.Standing) -> Decision:
        assert roles.champion is not None
        role: ModelRole = "champion"
        version = roles.champion.model_version
        if roles.canary is not None and self.paid % CARDS < (roles.canary.share or 0) * CARDS:
            role, version = "canary", roles.canary.model_version
        score = self.models[version](self._risk())
        return Decision(
            event_id=derived_event_id(paid.occurred_at, "scores", paid.transaction_id),
            occurred_at=paid.occurred_at,
            trace_id=TRACE_ID,
            transaction_id=paid.transaction_id,
            card_id=paid.card_id,
            decision=_verdict(score),
            score=score,
            reasons=[],
            model_name="fraud",
            model_version=version,
            model_digest=f"{version:064x}",
            feature_version=FRAUD.version,
            vector_digest="a" * 64,
            policy_digest="b" * 64,
            model_role=role,
        )

    def _shadow(self, decision: Decision, challenger: int) -> ShadowScore:
        score = self.models[challenger](self._risk())
        return ShadowScore(
            event_id=derived_event_id(decision.occurred_at, "shadows", decision.event_id, str(challenger)),
            occurred_at=decision.occurred_at,
            trace_id=TRACE_ID,
            transaction_id=decision.transaction_id,
            card_id=decision.card_id,
            decision_id=decision.event_id,
            decision=decision.decision,
            score=decision.score,
            model_name="fraud",
            model_version=decision.model_version,
            challenger_version=challenger,
            challenger_digest=f"{challenger:064x}",
            challenger_decision=_verdict(score),
            challenger_score=score,
        )


def _verdict(score: float | None) -> Verdict:
    return "review" if score is None else VERDICTS[(score >= FRAUD_FROM) + (score >= DECLINE_FROM)]


def _vector(paid: Transaction) -> FeatureVector:
    return vector(paid.transaction_id, after=paid.occurred_at - START, card_id=paid.card_id)
