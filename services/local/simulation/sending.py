"""Simulated traffic against a running platform, over REST as its users send it: payments, labels, shoppers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from http import HTTPStatus

import msgspec

from services.ingest.replay.courier import Courier
from services.local.simulation.sent_payments import LivePayments
from services.local.simulation.sent_visits import LiveVisits
from services.local.simulation.shoppers import Shoppers
from shared.contracts.events import Event
from shared.contracts.topics import INTERACTIONS, ITEMS, LABELS, TRANSACTIONS, USERS, Topic
from shared.runtime.clock import Clock

TICK_SECONDS = 0.1
_BATCH_EVENTS_MAX = 500


@dataclass(frozen=True)
class SimulationPlan:
    """What the simulated world does, and for how long.

    seconds: None is until it is stopped. drift_after_seconds: after which card testing begins and tastes change; None
    is never.
    """

    seconds: float | None = None
    drift_after_seconds: float | None = None


@dataclass(frozen=True)
class Progress:
    """What was sent so far. refused: events that ingest did not take; refusal: why it did not take the latest.

    unanswered: visits that were shown nothing; problem: why the latest was not.
    """

    seconds: float = 0.0
    payments: int = 0
    frauds: int = 0
    labels: int = 0
    visits: int = 0
    clicked: int = 0
    interactions: int = 0
    unanswered: int = 0
    refused: int = 0
    refusal: str = ""
    problem: str = ""
    has_drifted: bool = False


class Simulation:
    """Sends what is due, again and again."""

    def __init__(
        self,
        ingest: Courier,
        payments: LivePayments,
        clock: Clock,
        *,
        shop: tuple[Shoppers, LiveVisits] | None = None,
    ) -> None:
        """Open the shop, where there is one; nothing is sent yet."""
        self.progress = Progress()
        self._ingest = ingest
        self._payments = payments
        self._clock = clock
        self._shop = shop

    def run(self, plan: SimulationPlan, *, tell: Callable[[Progress], None], wait: Callable[[float], None]) -> None:
        """Send until the plan is over; `progress` is right whenever this is left, by an exception too.

        tell: told, at every turn, what was sent so far. wait: waits for so many seconds.

        Raises:
            ReplayError: ingest refuses everything, or stays away.
        """
        began = self._clock.monotonic_seconds()
        if self._shop is not None:
            self._open(self._shop[0])
        while plan.seconds is None or self.progress.seconds < plan.seconds:
            wait(TICK_SECONDS)
            self._note(seconds=self._clock.monotonic_seconds() - began)
            if plan.drift_after_seconds is not None and self.progress.seconds >= plan.drift_after_seconds:
                self._drift()
            self._send_payments()
            if self._shop is not None:
                self._let_in(self._shop[1])
            tell(self.progress)

    def _open(self, shoppers: Shoppers) -> None:
        """Post what the shop sells, and who its shoppers are."""
        self._post(ITEMS, shoppers.items())
        self._post(USERS, shoppers.users())

    def _drift(self) -> None:
        """Let the world change for good, once."""
        if self.progress.has_drifted:
            return
        self._payments.start_new_pattern()
        if self._shop is not None:
            shoppers = self._shop[0]
            self._post(ITEMS, shoppers.items(collection=True))
            shoppers.change_taste(self._clock.now())
        self._note(has_drifted=True)

    def _send_payments(self) -> None:
        due = self._payments.due()
        self._post(TRANSACTIONS, due.payments)
        self._note(payments=self.progress.payments + len(due.payments), frauds=self.progress.frauds + due.frauds)
        self._post(LABELS, due.labels)
        self._note(labels=self.progress.labels + len(due.labels))

    def _let_in(self, visits: LiveVisits) -> None:
        for _ in range(visits.due()):
            visit = visits.visit()
            self._post(INTERACTIONS, visit.interactions)
            self._note(
                visits=self.progress.visits + 1,
                clicked=self.progress.clicked + visit.is_clicked,
                interactions=self.progress.interactions + len(visit.interactions),
                unanswered=self.progress.unanswered + (visit.problem is not None),
                problem=visit.problem or self.progress.problem,
            )

    def _post(self, topic: Topic, events: Sequence[Event]) -> None:
        for begin in range(0, len(events), _BATCH_EVENTS_MAX):
            batch = [msgspec.to_builtins(event) for event in events[begin : begin + _BATCH_EVENTS_MAX]]
            items = self._ingest.post(topic.name, batch)
            refused = [item for item in items if item.status != HTTPStatus.ACCEPTED]
            if refused:
                self._note(refused=self.progress.refused + len(refused), refusal=f"{topic.name}: {refused[-1].error}")

    def _note(self, **changed: object) -> None:
        self.progress = replace(self.progress, **changed)  # type: ignore[arg-type]
