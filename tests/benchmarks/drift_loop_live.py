"""The platform through weeks of event time: history, a first model, then a new pattern of fraud.

Payments come an hour of event time after the other, as fast as they are decided. Whenever a model is asked for they
wait until it is trained: on the wall that takes a minute, which beside a day is nothing.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import httpx
import numpy as np
from rich.console import Console

from services.local.demo.traffic import with_labels_due
from services.local.model_request import request_training
from services.local.platform import Platform
from services.local.simulation.simulator import Scenario, SimulatedPayment, Simulator, SimulatorConfig
from services.training.model_log import ACTOR
from shared.bus.base import Bus, Outgoing, Record
from shared.contracts import codec
from shared.contracts.events import Decision, DriftAlarm, Label, ModelEvent, RetrainingRequest
from shared.contracts.topics import DRIFT, FEATURES, LABELS, MODELS, RETRAINING, SCORES, TRANSACTIONS
from shared.models.manifest import MODEL_NAME
from shared.runtime.clock import SystemClock
from shared.runtime.metrics.exposition import parse_exposition
from tests.benchmarks.drift_loop_outcome import Lived, LivePayment

STEP = timedelta(hours=1)
SECONDS_MAX = 600.0
"""So long nothing may be awaited."""
POLL_SECONDS = 0.05
ENDED = frozenset({"promoted", "shadowed", "refused"})
"""What a request for a model comes to."""

console = Console()


class Plan(NamedTuple):
    """The world and its days; the new pattern begins `before_days` after the history ended."""

    world: SimulatorConfig
    history_days: int
    before_days: int
    after_days: int

    @property
    def live_from(self) -> datetime:
        return self.world.start + timedelta(days=self.history_days)

    @property
    def changed_at(self) -> datetime:
        return self.live_from + timedelta(days=self.before_days)

    @property
    def until(self) -> datetime:
        return self.changed_at + timedelta(days=self.after_days)


class Heard(NamedTuple):
    """An event, and how many live payments had been made when it was read."""

    event: DriftAlarm | RetrainingRequest | ModelEvent
    payments: int


class Stream:
    """Produces what happens, and listens to what the platform says."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._bus: Bus = platform.bus()
        self._clock = SystemClock()
        self._publisher = self._bus.publisher()
        self._tail = self._bus.tail([SCORES.name, DRIFT.name, RETRAINING.name, MODELS.name], start="newest")
        self.live: list[LivePayment] = []
        self.flagged: dict[str, bool] = {}
        self.heard: list[Heard] = []
        self._made = 0

    def close(self) -> None:
        self._publisher.close()
        self._tail.close()

    def history(self, events: Sequence[SimulatedPayment | Label]) -> None:
        """Produce the history, and wait until it is decided and archived."""
        self._produce(events)
        self._await(lambda: len(self.flagged) >= self._made, "decisions on the history")
        self.archived()

    def archived(self) -> None:
        """Wait until the archive holds every payment made."""
        self._await(
            lambda: self._metric("training", "headrace_archived_rows_total", topic=FEATURES.name) >= self._made,
            "the payments in the archive",
        )

    def first_model(self) -> None:
        """Ask for the first model, and wait until it decides."""
        request_training(self._bus, self._clock, requested_by="benchmark", reason="the first model")
        self._await(lambda: any(_is(heard, "promoted", "refused") for heard in self.heard), "the first model")
        if not any(_is(heard, "promoted") for heard in self.heard):
            raise SystemExit(f"no first model: {self.heard[-1].event}")
        self._await(lambda: self._metric("scoring", "headrace_model_version", model=MODEL_NAME) >= 1, "its service")
        self.heard.clear()

    def step(self, events: Sequence[SimulatedPayment | Label]) -> None:
        """Produce an hour's events, and wait until all is decided, watched, and answered."""
        payments = [event for event in events if isinstance(event, SimulatedPayment)]
        self.live += [_live(payment) for payment in payments]
        self._produce(events)
        self._await(lambda: len(self.flagged) >= self._made, "decisions")
        self._await(lambda: self._metric("drift", "headrace_loop_lag_records") == 0, "drift to keep up")
        self._await(self._is_answered, "an answer to the request for a model")

    def lived(self) -> Lived:
        """Return what became of the live payments."""
        is_new = [payment.is_new_pattern for payment in self.live]
        changed = is_new.index(True)
        requests = [heard.payments for heard in self.heard if isinstance(heard.event, RetrainingRequest)]
        alarms = [heard.payments for heard in self.heard if isinstance(heard.event, DriftAlarm)]
        trained = {
            heard.event.model_version: heard.payments
            for heard in self.heard
            if isinstance(heard.event, ModelEvent) and _is(heard, "registered") and heard.event.actor == ACTOR
        }
        renewed = [
            heard.payments
            for heard in self.heard
            if isinstance(heard.event, ModelEvent)
            and _is(heard, "promoted")
            and trained.get(heard.event.model_version, 0) > changed
        ]
        return Lived(
            payments=self.live,
            flagged=np.array([self.flagged[payment.transaction_id] for payment in self.live], dtype=np.bool_),
            changed=changed,
            alarmed=next((at for at in alarms if at > changed), None),
            asked=next((at for at in requests if at > changed), None),
            renewed=next(iter(renewed), None),
            needless=sum(at <= changed for at in requests),
            trainings=len(trained),
        )

    def _produce(self, events: Sequence[SimulatedPayment | Label]) -> None:
        for event in events:
            if isinstance(event, Label):
                outgoing = Outgoing(LABELS.name, LABELS.key_of(event).encode(), codec.encode(event))
            else:
                payment = event.transaction
                outgoing = Outgoing(TRANSACTIONS.name, TRANSACTIONS.key_of(payment).encode(), codec.encode(payment))
                self._made += 1
            self._publisher.send(outgoing)

    def _is_answered(self) -> bool:
        """Tell whether every request for a model has come to what it comes to."""
        asked = [heard.event.trace_id for heard in self.heard if isinstance(heard.event, RetrainingRequest)]
        ended = {heard.event.trace_id for heard in self.heard if _is(heard, *ENDED)}
        return not asked or asked[-1] in ended

    def _await(self, is_there: Callable[[], bool], what: str) -> None:
        until = self._clock.monotonic_seconds() + SECONDS_MAX
        self._listen()
        while not is_there():
            if failures := self._platform.failures():
                raise SystemExit("; ".join(failures))
            if self._clock.monotonic_seconds() > until:
                raise SystemExit(f"waited {SECONDS_MAX:.0f} s in vain for {what}; see the services' logs")
            self._listen()

    def _listen(self) -> None:
        for record in self._tail.poll(wait_seconds=POLL_SECONDS):
            self._note(record)

    def _note(self, record: Record) -> None:
        value = record.value or b""
        if record.topic == SCORES.name:
            decision = codec.decode(Decision, value)
            self.flagged.setdefault(decision.transaction_id, decision.decision != "approve")
            return
        event = codec.decode(_TOLD[record.topic], value)
        if event.model_name == MODEL_NAME:
            self.heard.append(Heard(event, len(self.live)))
            console.print(f"{len(self.live):>7,} payments: {_told(event)}", style="dim", highlight=False)

    def _metric(self, service: str, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples with these labels; 0 where there is none."""
        text = httpx.get(f"{self._platform.addresses.services[service]}/metrics").raise_for_status().text
        samples = (sample for sample in parse_exposition(text) if sample.name == name)
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())


_TOLD: dict[str, type[DriftAlarm | RetrainingRequest | ModelEvent]] = {
    DRIFT.name: DriftAlarm,
    RETRAINING.name: RetrainingRequest,
    MODELS.name: ModelEvent,
}


def lived(platform: Platform, plan: Plan) -> Lived:
    """Run the plan on a started platform."""
    simulator = Simulator(plan.world)
    simulator.start_new_pattern(plan.changed_at)
    with contextlib.closing(Stream(platform)) as stream:
        by_hour = hours(simulator, plan)
        history = [event for hour in itertools.islice(by_hour, plan.history_days * 24) for event in hour]
        stream.history(history)
        stream.first_model()
        for hour in by_hour:
            stream.step(hour)
        stream.archived()
        return stream.lived()


def hours(simulator: Simulator, plan: Plan) -> Iterator[list[SimulatedPayment | Label]]:
    """Return the events of each hour up to the plan's end, labels before the payments they are known at."""
    ends, taken = plan.world.start + STEP, list[SimulatedPayment | Label]()
    for event in with_labels_due(simulator):
        at = event.occurred_at if isinstance(event, Label) else event.transaction.occurred_at
        while at >= ends:
            yield taken
            ends, taken = ends + STEP, []
            if ends > plan.until:
                return
        taken.append(event)


def _live(payment: SimulatedPayment) -> LivePayment:
    transaction = payment.transaction
    is_new = payment.scenario is Scenario.CARD_TESTING
    return LivePayment(
        transaction.transaction_id, transaction.occurred_at, transaction.amount, payment.is_fraud, is_new
    )


def _is(heard: Heard, *actions: str) -> bool:
    return isinstance(heard.event, ModelEvent) and heard.event.action in actions


def _told(event: DriftAlarm | RetrainingRequest | ModelEvent) -> str:
    match event:
        case DriftAlarm():
            return f"alarm, {event.signal}: {event.explanation}"
        case RetrainingRequest():
            return f"{event.requested_by} asks for a model: {event.reason}"
        case ModelEvent():
            return f"version {event.model_version} {event.action} by {event.actor}: {event.reason}"
