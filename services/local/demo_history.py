"""History for the demo: simulated payments and the labels that follow them, posted to ingest in event-time order."""

from collections.abc import Callable, Iterator, Sequence

import httpx
import msgspec

from services.local.demo_ledger import Ledger, Phase
from services.local.demo_plan import DemoError
from services.local.demo_traffic import with_labels_due
from services.local.simulator import SimulatedPayment, Simulator
from shared.contracts.events import Label, Transaction
from shared.contracts.topics import LABELS, TRANSACTIONS, Topic
from shared.runtime.clock import Clock

_encoder = msgspec.json.Encoder()


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
            self._post(LABELS, labels)
            self._post(TRANSACTIONS, [payment.transaction for payment in made])
            self.labels_total += len(labels)
            advanced(len(made))

    def _post(self, topic: Topic, events: Sequence[Label | Transaction]) -> None:
        if not events:
            return
        path = f"/v1/{topic.name}/batch"
        try:
            response = self._client.post(path, content=_encoder.encode({"events": events}))
            response.raise_for_status()
        except httpx.HTTPError as error:
            raise DemoError(f"ingest did not take {len(events)} {topic.name}: {error}") from error
        rejected = response.json()["rejected"]
        if rejected:
            raise DemoError(f"ingest refused {rejected} of {len(events)} {topic.name}: {response.text[:500]}")


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
