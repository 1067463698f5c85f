"""Payments of the simulated world as if they happened now, and the labels that follow them, at an even rate."""

import dataclasses
from collections import deque
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from services.local.simulation.simulator import SimulatedPayment, Simulator, SimulatorConfig
from shared.contracts.events import Label, Transaction
from shared.contracts.ids import derived_event_id
from shared.runtime.clock import Clock

_FIRST_DAYS = 10_000
_HELD_UP_SECONDS_MAX = 1.0


class Pace:
    """How many are due at an even rate; what was held up for longer than a second is left out, not made up for."""

    def __init__(self, clock: Clock, per_second: float) -> None:
        """Begin now."""
        self._clock = clock
        self._per_second = per_second
        self._asked_at = clock.monotonic_seconds()
        self._owed = 0.0

    def due(self) -> int:
        """Return how many have become due since it was asked before."""
        now = self._clock.monotonic_seconds()
        self._owed += min(now - self._asked_at, _HELD_UP_SECONDS_MAX) * self._per_second
        self._asked_at = now
        whole = int(self._owed)
        self._owed -= whole
        return whole


class Due(NamedTuple):
    """What has happened since it was asked before, in order of time; so many of the payments are frauds."""

    payments: list[Transaction]
    labels: list[Label]
    frauds: int


class LivePayments:
    """The world's payments one after the other, each dated as it is asked for; its days last as the rate has it.

    The same seed has the same cards and merchants in every run, so a model of one run knows those of the next; a run
    begins on a day of its own, so that it does not repeat the one before.
    """

    def __init__(
        self, world: SimulatorConfig, clock: Clock, *, payments_per_second: float, label_delay: timedelta
    ) -> None:
        """Draw the world.

        world: its start, first day and label delay are not used.
        label_delay: from a payment to its label, by the clock.
        """
        began = clock.now()
        self._clock = clock
        self._pace = Pace(clock, payments_per_second)
        self._label_delay = label_delay
        self._run = f"{began:%Y%m%dT%H%M%S%f}"
        # A label is drawn with its payment, and kept here until it is due.
        drawn = dataclasses.replace(world, first_day=int(began.timestamp()) % _FIRST_DAYS, label_delay=timedelta())
        self._simulator = Simulator(drawn)
        self._labels: deque[Label] = deque()
        self._newest: SimulatedPayment | None = None

    def due(self) -> Due:
        """Return the payments that the rate makes due by now, and the labels that are known by now."""
        now = self._clock.now()
        payments: list[Transaction] = []
        frauds = 0
        for _ in range(self._pace.due()):
            self._newest = next(self._simulator.payments())
            payments.append(self._dated(self._newest.transaction, now))
            frauds += self._newest.is_fraud
            drawn = self._simulator.labels_due(self._newest.transaction.occurred_at)
            self._labels += [self._told(label, now + self._label_delay) for label in drawn]
        labels: list[Label] = []
        while self._labels and self._labels[0].occurred_at <= now:
            labels.append(self._labels.popleft())
        return Due(payments, labels, frauds)

    def start_new_pattern(self) -> None:
        """Let card testing begin, with the next payment."""
        if self._newest is not None:
            self._simulator.start_new_pattern(self._newest.transaction.occurred_at)

    def _dated(self, transaction: Transaction, at: datetime) -> Transaction:
        transaction_id = self._named(transaction.transaction_id)
        event_id = derived_event_id(at, "simulated", transaction_id)
        return replace(transaction, event_id=event_id, occurred_at=at, transaction_id=transaction_id)

    def _told(self, label: Label, at: datetime) -> Label:
        transaction_id = self._named(label.transaction_id)
        event_id = derived_event_id(at, "simulated-label", transaction_id)
        return replace(label, event_id=event_id, occurred_at=at, transaction_id=transaction_id)

    def _named(self, transaction_id: str) -> str:
        return f"{transaction_id}-{self._run}"
