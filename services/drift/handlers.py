"""Features, decisions, labels and model events in; alarms about the model that scores payments out."""

import logging
from collections.abc import Callable, Sequence

from services.drift.champion import UnwatchableModelError, champion_of
from services.drift.decision import Finding
from services.drift.performance import Outcomes
from services.drift.replay import Replay
from services.drift.settings import DriftSettings
from services.drift.telling import told
from services.drift.watch import Watch
from shared.bus.base import Outgoing
from shared.contracts.events import Decision, FeatureVector, Label, ModelEvent
from shared.contracts.topics import FEATURES, LABELS, MODELS, SCORES
from shared.models.lineage import puts_in_force
from shared.models.manifest import MODEL_NAME, Manifest
from shared.models.packages import ModelIntegrityError
from shared.models.registry import RegistryUnavailableError
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.logs import fields
from shared.runtime.loop import Delivery

log = logging.getLogger(__name__)

# Within a batch the model comes before what it decided, and a decision before its label.
TOPIC_NAMES = (MODELS.name, SCORES.name, FEATURES.name, LABELS.name)


class Monitor:
    """Watches the model that scores payments; its memory lives in this process."""

    def __init__(self, load_manifest: Callable[[str, int], Manifest], settings: DriftSettings, clock: Clock) -> None:
        """Start without a model.

        load_manifest: by name and version; raises ModelIntegrityError or RegistryUnavailableError.
        """
        self._load_manifest = load_manifest
        self._settings = settings
        self._clock = clock
        self._replay = Replay()
        self._outcomes = Outcomes(settings.headrace_drift_decisions_remembered)
        self._in_force: tuple[ModelEvent, int] | None = None
        self._watch: Watch | None = None
        self._problem: str | None = None

    def problem(self) -> str | None:
        """Tell why the model in service is not being watched; None when it is, or when there is none."""
        return self._problem

    def __call__(self, deliveries: Sequence[Delivery]) -> list[Outgoing]:
        self._replay.begin(deliveries)
        ordered = sorted(deliveries, key=lambda delivery: TOPIC_NAMES.index(delivery.record.topic))
        announced = sum(delivery.record.topic == MODELS.name for delivery in ordered)
        for delivery in ordered[:announced]:
            self._replay.answer(delivery, self._apply)
        # Only the version in force counts: those before it may not even be there any more.
        if self._watch is None:
            self._begin_watch()
        return [outgoing for delivery in ordered[announced:] for outgoing in self._replay.answer(delivery, self._apply)]

    def _apply(self, delivery: Delivery) -> list[Outgoing]:
        match delivery.event:
            case ModelEvent() as event:
                self._model_event(event, delivery.record.produced_ms)
                findings = []
            case Decision() as decision:
                findings = self._decision(decision)
            case FeatureVector() as vector:
                findings = self._vector(vector, delivery.record.produced_ms)
            case Label() as label:
                findings = self._label(label)
            case _:
                findings = []
        return [outgoing for finding in findings for outgoing in self._respond(finding, delivery)]

    def _model_event(self, event: ModelEvent, produced_ms: int) -> None:
        if not puts_in_force(event, MODEL_NAME):
            return
        if self._in_force is not None and self._in_force[0].model_version == event.model_version:
            return  # announced again: what is known about it still holds
        self._in_force = (event, produced_ms)
        self._watch = None

    def _begin_watch(self) -> None:
        """Watch the model in force, or remember what keeps us from it; tried again with every batch."""
        if self._in_force is None:
            return
        event, since_ms = self._in_force
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
        self._watch = Watch(champion, self._settings)
        metrics.DRIFT_STATISTIC.remove_by_labels({"model": MODEL_NAME})
        log.info("watching model %s %s", event.model_name, event.model_version, **fields(trace_id=event.trace_id))

    def _decision(self, decision: Decision) -> list[Finding]:
        if decision.model_name != MODEL_NAME or not self._outcomes.add(decision):
            return []
        outcome = self._outcomes.find(decision.transaction_id)
        if outcome is None or self._watch is None or outcome.version != self._watch.champion.version:
            return []
        return self._watch.decision(decision, outcome)

    def _vector(self, vector: FeatureVector, produced_ms: int) -> list[Finding]:
        if self._watch is None or produced_ms < self._watch.champion.since_ms:
            return []
        return self._watch.vector(vector)

    def _label(self, label: Label) -> list[Finding]:
        outcome = self._outcomes.find(label.transaction_id)
        if outcome is None:
            metrics.UNMATCHED_LABELS.labels("drift").inc()
            return []
        if label.label != "fraud" or outcome.fraud:
            return []
        outcome.fraud = True
        if self._watch is None or outcome.version != self._watch.champion.version:
            return []
        return self._watch.fraud(outcome)

    def _respond(self, finding: Finding, delivery: Delivery) -> list[Outgoing]:
        if self._watch is None:
            return []
        response = self._watch.policy.respond(finding, self._clock.now())
        return told(finding, response, delivery, model_name=MODEL_NAME, version=self._watch.champion.version)
