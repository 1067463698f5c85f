"""Live payments: a thread that produces the simulated world's events to the log at an even rate."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future

from services.local.demo.ledger import Ledger, Phase
from services.local.simulation.simulator import SimulatedPayment, Simulator
from shared.bus.base import Bus, BusUnavailableError, Outgoing
from shared.contracts import codec
from shared.contracts.events import Label
from shared.contracts.topics import LABELS, TRANSACTIONS
from shared.runtime.clock import Clock

_TICK_SECONDS = 0.01
_STOP_SECONDS_MAX = 30.0


def with_labels_due(simulator: Simulator) -> Iterator[SimulatedPayment | Label]:
    """Return the world's payments, each behind the labels that had become known by its time."""
    for payment in simulator.payments():
        yield from simulator.labels_due(payment.transaction.occurred_at)
        yield payment


class LiveTraffic:
    """Payments and labels in event-time order, `payments_per_second` by the wall clock."""

    def __init__(
        self, bus: Bus, simulator: Simulator, ledger: Ledger, clock: Clock, *, payments_per_second: int
    ) -> None:
        """Start producing at once."""
        self.phase = Phase.BEFORE
        self.failure: str | None = None
        self.newest: SimulatedPayment | None = None
        self._simulator = simulator
        self._ledger = ledger
        self._clock = clock
        self._rate = payments_per_second
        self._publisher = bus.publisher()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-traffic")
        self._thread.start()

    def start_new_pattern(self) -> None:
        """Let card testing begin with the next payment."""
        if self.newest is not None:
            # In this order, so that no payment of the new pattern counts as made before it.
            self.phase = Phase.NEW_PATTERN
            self._simulator.start_new_pattern(self.newest.transaction.occurred_at)

    def close(self) -> None:
        """Stop producing; whatever was produced is acknowledged or counted as a failure when this returns."""
        self._stop.set()
        self._thread.join(_STOP_SECONDS_MAX)
        self._publisher.close()

    def _run(self) -> None:
        events = with_labels_due(self._simulator)
        started = self._clock.monotonic_seconds()
        made = 0
        while not self._stop.wait(_TICK_SECONDS):
            due = int((self._clock.monotonic_seconds() - started) * self._rate)
            try:
                while made < due:
                    made += self._send(next(events))
            except BusUnavailableError as error:
                self.failure = f"payments could not be produced: {error}"
                return

    def _send(self, event: SimulatedPayment | Label) -> int:
        """Produce one event; return how many payments that was."""
        if isinstance(event, Label):
            outgoing = Outgoing(LABELS.name, LABELS.key_of(event).encode(), codec.encode(event))
        else:
            transaction = event.transaction
            outgoing = Outgoing(TRANSACTIONS.name, TRANSACTIONS.key_of(transaction).encode(), codec.encode(transaction))
            self._ledger.make(event, at=self._clock.monotonic_seconds(), phase=self.phase)
            self.newest = event
        self._publisher.send(outgoing).add_done_callback(self._note_failure)
        return 0 if isinstance(event, Label) else 1

    def _note_failure(self, acknowledged: "Future[None]") -> None:
        error = acknowledged.exception()
        if error is not None:
            self.failure = f"a payment was not acknowledged: {error}"
