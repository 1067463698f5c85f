"""What the drift service sees at one moment: for `/v1/drift`, the report and `headrace drift status`."""

from datetime import datetime

from msgspec import Struct

from services.drift.signals import Distribution, Signal
from shared.contracts.events import DriftAlarm, RetrainingRequest

ALARMS_KEPT = 50


class Family(Struct, frozen=True, kw_only=True):
    """Watches that share a part of the budget; evidence_days at or above threshold_days raises an alarm."""

    name: str
    evidence_days: float
    threshold_days: float

    @property
    def is_alarmed(self) -> bool:
        """Whether its evidence suffices for an alarm."""
        return self.evidence_days >= self.threshold_days


class ModelStatus(Struct, frozen=True, kw_only=True):
    """One model in force, and all that is known about how it fares.

    since: when it came into force. newest: event time of the newest payment or list looked at.
    problem: why it cannot be watched at all; None when it is.
    alarms_a_quarter: the budget; needless_retrainings: of it, how many there really were in the last quarter.
    distributions: features and the score now beside training, empty where the model has none.
    alarms: the newest ALARMS_KEPT at most, newest first, those about earlier versions included.
    request: the newest one that was asked and is not answered. waits_for: what must come before the next step, in
    words; empty where nothing is to be done. blind: what cannot be seen, and why.
    """

    model_name: str
    model_version: int
    since: datetime
    trained_until: datetime | None = None
    newest: datetime | None = None
    problem: str | None = None
    alarms_a_quarter: float
    needless_retrainings: int = 0
    families: list[Family] = []
    signals: list[Signal] = []
    distributions: list[Distribution] = []
    alarms: list[DriftAlarm] = []
    request: RetrainingRequest | None = None
    waits_for: str = ""
    blind: list[str] = []

    @property
    def is_quiet(self) -> bool:
        """Whether it is watched and nothing about it is alarmed."""
        alarmed = any(family.is_alarmed for family in self.families) or "alarmed" in {it.state for it in self.signals}
        return self.problem is None and not alarmed

    def leading(self, count: int) -> list[Signal]:
        """Return the signals that speak loudest, at most `count`: alarmed ones first, then by evidence for its size."""
        speaking = [signal for signal in self.signals if signal.state == "alarmed" or signal.evidence_days > 0]
        return sorted(speaking, key=lambda it: (it.state != "alarmed", -it.evidence_days / it.threshold_days))[:count]


class Snapshot(Struct, frozen=True, kw_only=True):
    """Every model in force; taken_at: wall time."""

    taken_at: datetime
    models: list[ModelStatus]
