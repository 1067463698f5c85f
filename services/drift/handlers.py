"""Features, decisions, labels and model events in; alarms about the model that scores payments out."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgspec

from services.drift.champion import UnwatchableModelError, champion_of
from services.drift.labels.payments import Payments, payments_of
from services.drift.replay import Replay
from services.drift.responder import Responder
from services.drift.settings import DriftSettings
from services.drift.shown.published import Published, count
from services.drift.shown.status import ModelStatus
from services.drift.watch import Watch
from shared.bus.base import Outgoing
from shared.contracts.events import Decision, FeatureVector, Label, ModelEvent
from shared.contracts.topics import FEATURES, LABELS, MODELS, SCORES
from shared.models.lineage import puts_in_force
from shared.models.manifest import MODEL_NAME, RECALIBRATES, Manifest
from shared.models.packages import ModelIntegrityError
from shared.models.registry import RegistryUnavailableError
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.logs import fields
from shared.runtime.loop import Delivery

log = logging.getLogger(__name__)

TOPIC_NAMES = (MODELS.name, SCORES.name, FEATURES.name, LABELS.name)


@dataclass
class Memory:
    """What the monitor knows, and would not find out again.

    in_force: the event that put the champion in force, and when it was written to the log, in milliseconds. before: the
    watch of the version before, until that of the champion begins. counted: what /metrics was told so far of what
    payments and labels were lost.
    """

    replay: Replay
    payments: Payments
    responder: Responder
    in_force: tuple[ModelEvent, int] | None = None
    watch: Watch | None = None
    before: Watch | None = None
    counted: dict[str, int] = field(default_factory=dict)


class Monitor:
    """Watches the model that scores payments; called from one thread at a time."""

    def __init__(self, load_manifest: Callable[[str, int], Manifest], settings: DriftSettings, clock: Clock) -> None:
        """Start without a model.

        load_manifest: by name and version; raises ModelIntegrityError or RegistryUnavailableError.
        """
        self.memory = Memory(Replay(), payments_of(settings), Responder(MODEL_NAME, settings))
        self._load_manifest = load_manifest
        self._settings = settings
        self._clock = clock
        self._problem: str | None = None
        self._published = Published(clock)

    def problem(self) -> str | None:
        """Tell why the model in service is not being watched; None when it is, or when there is none."""
        return self._problem

    def __call__(self, deliveries: Sequence[Delivery]) -> list[Outgoing]:
        replay = self.memory.replay
        replay.begin(deliveries)
        answers: list[Outgoing] = []
        fresh: list[Delivery] = []
        for delivery in deliveries:
            if replay.repeats(delivery.record):
                answers += replay.answered(delivery.record)
            else:
                fresh.append(delivery)
        return [*answers, *self._take_in(fresh)]

    def status(self) -> ModelStatus | None:
        """Return how the model in force fares; None while there is none."""
        memory = self.memory
        if memory.in_force is None:
            return None
        event, since_ms = memory.in_force
        watch, responder = memory.watch, memory.responder
        known = ModelStatus(
            model_name=MODEL_NAME,
            model_version=event.model_version,
            since=datetime.fromtimestamp(since_ms / 1000, UTC),
            problem=self._problem,
            alarms_a_quarter=self._settings.headrace_drift_needless_retrainings_a_quarter,
            alarms=list(responder.alarms),
            request=responder.request,
        )
        if watch is None:
            return known
        return msgspec.structs.replace(
            known,
            trained_until=watch.champion.trained_until,
            newest=watch.newest,
            needless_retrainings=responder.needless_retrainings(watch.newest),
            families=watch.families(),
            signals=watch.signals(),
            distributions=watch.distributions(),
            waits_for=responder.waits_for,
            blind=watch.blind(),
        )

    def _take_in(self, deliveries: Sequence[Delivery]) -> list[Outgoing]:
        """Apply records that are new; what is answered is remembered beside the last of them."""
        memory = self.memory
        for delivery in deliveries:
            memory.replay.apply(delivery.record)
            if isinstance(delivery.event, ModelEvent):
                self._model_event(delivery.event, delivery.record.produced_ms)
        # Only the version in force counts: those before it may not even be there any more.
        if memory.watch is None:
            self._begin_watch()
        about_payments = [delivery for delivery in deliveries if not isinstance(delivery.event, ModelEvent)]
        if memory.watch is None or not about_payments:
            return []
        _show(memory.watch, about_payments)
        last = about_payments[-1]
        answers = memory.responder.respond(memory.watch, last, self._clock.now())
        memory.replay.apply(last.record, answers)
        count(memory.watch, memory.payments, memory.counted)
        self._published.publish(memory.watch, memory.payments)
        return answers

    def _model_event(self, event: ModelEvent, produced_ms: int) -> None:
        memory = self.memory
        memory.responder.model_event(event, memory.watch)
        if not puts_in_force(event, MODEL_NAME):
            return
        if memory.in_force is not None and memory.in_force[0].model_version == event.model_version:
            return  # announced again: what is known about it still holds
        memory.in_force = (event, produced_ms)
        memory.before, memory.watch = memory.watch or memory.before, None

    def _begin_watch(self) -> None:
        """Watch the model in force, or remember what keeps us from it; tried again with every batch."""
        if self.memory.in_force is None:
            return
        event, since_ms = self.memory.in_force
        try:
            manifest = self._load_manifest(event.model_name, event.model_version)
            champion = champion_of(event, since_ms, manifest)
        except (ModelIntegrityError, RegistryUnavailableError, UnwatchableModelError) as error:
            problem = f"model {event.model_name} {event.model_version} cannot be watched: {error}"
            if problem != self._problem:
                metrics.MODEL_LOAD_FAILURES.labels(event.model_name).inc()
                log.error("%s", problem, **fields(trace_id=event.trace_id))  # noqa: TRY400 - it says all there is
            self._problem = problem
            return
        self._problem = None
        before, self.memory.before = self.memory.before, None
        if before is not None and manifest.metrics.get(RECALIBRATES) == before.version:
            before.recalibrated(champion)
            self.memory.watch = before
        else:
            self.memory.watch = Watch(champion, self._settings, self.memory.payments)
        log.info("watching model %s %s", event.model_name, event.model_version, **fields(trace_id=event.trace_id))


def _show(watch: Watch, deliveries: Sequence[Delivery]) -> None:
    """Show the watch what is new about payments: a decision before its label, all vectors at once."""
    vectors: list[FeatureVector] = []
    labels: list[Label] = []
    for record, event in deliveries:
        match event:
            case Decision():
                watch.decision(event)
            case FeatureVector() if record.produced_ms >= watch.champion.since_ms:
                vectors.append(event)
            case Label():
                labels.append(event)
    watch.vectors(vectors)
    for label in labels:
        watch.label(label)
