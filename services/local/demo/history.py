"""History for the demo: simulated payments and the labels that follow them, posted to ingest in event-time order."""

from collections.abc import Callable, Iterator

import httpx

from services.local.demo.ledger import Ledger, Phase
from services.local.demo.posting import post
from services.local.demo.traffic import with_labels_due
from services.local.simulation.simulator import SimulatedPayment, Simulator
from shared.contracts.events import Label
from shared.contracts.topics import LABELS, TRANSACTIONS
from shared.runtime.clock import Clock


class HistoryFeed:
    """Posts the beginning of a simulated world."""

    def __init__(self, client: httpx.Client, ledger: Ledger, clock: Clock) -> None:
        """Remember where to post.

        client: its base URL is ingest's.
        """
        self.labels_total = 0
        self._client = client
        self._ledger = ledger
        self._clock = clock

    def post(self, simulator: Simulator, *, payments: int, batch: int, advanced: Callable[[int], None]) -> None:
        """Post that many payments, and the labels due by then; `advanced` is told how many each request brought.

        Raises:
            DemoError: ingest did not take an event.
        """
        for events in _batches(with_labels_due(simulator), payments, batch):
            labels = [event for event in events if isinstance(event, Label)]
            made = [event for event in events if isinstance(event, SimulatedPayment)]
            now = self._clock.monotonic_seconds()
            for payment in made:
                self._ledger.make(payment, at=now, phase=Phase.HISTORY)
            post(self._client, LABELS, labels)
            post(self._client, TRANSACTIONS, [payment.transaction for payment in made])
            self.labels_total += len(labels)
            advanced(len(made))


def _batches(
    events: Iterator[SimulatedPayment | Label], payments: int, batch: int
) -> Iterator[list[SimulatedPayment | Label]]:
    """Cut `events` behind every `batch` payments, until there have been `payments` of them."""
    for begin in range(0, payments, batch):
        left = min(batch, payments - begin)
        taken: list[SimulatedPayment | Label] = []
        while left:
            taken.append(next(events))
            left -= isinstance(taken[-1], SimulatedPayment)
        yield taken
