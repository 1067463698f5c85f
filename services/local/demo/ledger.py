"""What the demo knows: which payments it made, what was decided about each, and how that compares with the truth."""

import threading
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

import numpy as np

from services.local.simulation.simulator import Scenario, SimulatedPayment
from shared.contracts.events import Decision


class Phase(Enum):
    """Which part of the demo a payment was made in."""

    HISTORY = "history"
    BEFORE = "before the new pattern"
    NEW_PATTERN = "with the new pattern"


class Decided(NamedTuple):
    """A payment with its truth and its first decision; times are monotonic seconds."""

    made_at: float
    decided_at: float
    phase: Phase
    is_fraud: bool
    is_new_pattern: bool
    is_alert: bool
    model_version: int

    @property
    def latency_ms(self) -> float:
        """From the payment produced to its decision read."""
        return (self.decided_at - self.made_at) * 1000


class Detection(NamedTuple):
    """How well some decisions found the fraud among their payments."""

    payments: int
    frauds: int
    alerts: int
    caught: int

    @property
    def recall(self) -> float | None:
        """Share of the fraud that was found; None where there was none."""
        return self.caught / self.frauds if self.frauds else None

    @property
    def precision(self) -> float | None:
        """Share of the alerts that were fraud; None where there was none."""
        return self.caught / self.alerts if self.alerts else None


def detection(decided: Iterable[Decided]) -> Detection:
    """Count what `decided` found and missed."""
    payments = frauds = alerts = caught = 0
    for one in decided:
        payments += 1
        frauds += one.is_fraud
        alerts += one.is_alert
        caught += one.is_fraud and one.is_alert
    return Detection(payments, frauds, alerts, caught)


def latency_ms(decided: Iterable[Decided]) -> tuple[float, float] | None:
    """Return the 50th and 99th percentile from produce to decision; None when nothing was decided."""
    latencies = [one.latency_ms for one in decided]
    if not latencies:
        return None
    p50, p99 = np.percentile(latencies, (50, 99))
    return float(p50), float(p99)


class _Made(NamedTuple):
    at: float
    phase: Phase
    is_fraud: bool
    is_new_pattern: bool


class Ledger:
    """Every payment made and every decision read; used from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[str, _Made] = {}
        self._waiting: set[str] = set()
        self._decided: list[Decided] = []
        self._duplicates = 0
        self._strangers = 0

    def make(self, payment: SimulatedPayment, *, at: float, phase: Phase) -> None:
        """Note a payment; called before it is sent, so that no decision can come first."""
        made = _Made(at, phase, payment.is_fraud, payment.scenario is Scenario.CARD_TESTING)
        with self._lock:
            self._made[payment.transaction.transaction_id] = made
            self._waiting.add(payment.transaction.transaction_id)

    def decide(self, decision: Decision, *, at: float) -> None:
        """Note a decision read from the log."""
        with self._lock:
            made = self._made.get(decision.transaction_id)
            if made is None:
                self._strangers += 1
            elif decision.transaction_id not in self._waiting:
                self._duplicates += 1
            else:
                self._waiting.remove(decision.transaction_id)
                is_alert = decision.decision != "approve"
                self._decided.append(
                    Decided(
                        made.at, at, made.phase, made.is_fraud, made.is_new_pattern, is_alert, decision.model_version
                    )
                )

    def decided(self, since: int = 0) -> list[Decided]:
        """Return the decisions in the order read, from the `since`-th on."""
        with self._lock:
            return self._decided[since:]

    @property
    def made_total(self) -> int:
        """Payments made."""
        return len(self._made)

    @property
    def decided_total(self) -> int:
        """Payments decided at least once."""
        return len(self._decided)

    @property
    def duplicates(self) -> int:
        """Decisions about payments that had one."""
        return self._duplicates

    @property
    def strangers(self) -> int:
        """Decisions about payments that the demo did not make."""
        return self._strangers
