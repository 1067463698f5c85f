"""Batches to the archive, and retraining requests to what is announced on `models`."""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from services.training.archive import Archive
from services.training.history import ACTOR, History
from services.training.trainer import Step, Trainer
from shared.bus.base import Outgoing, Record
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import ModelEvent, RetrainingRequest
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import MODELS
from shared.models.manifest import MODEL_NAME
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.dead_letters import dead_letter
from shared.runtime.logs import fields
from shared.runtime.loop import Delivery

log = logging.getLogger(__name__)

_ACTIONS = ("registered", "promoted", "refused")


class ArchiveHandler:
    """Puts a batch into the archive; answers nothing. The batch is on disk before the loop commits it."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def __call__(self, deliveries: Sequence[Delivery]) -> list[Outgoing]:
        self._archive.write(deliveries)
        for delivery in deliveries:
            metrics.ARCHIVED_ROWS.labels(delivery.record.topic).inc()
        return []


class RequestHandler:
    """Answers retraining requests.

    What was answered is read from `models` itself, so a request that comes again after a crash changes nothing. A
    request made before the latest run read its data is answered by that run: ten alarms in a row train once. Whoever
    waits for an answer takes the first event about the model that is later than the request.
    """

    def __init__(self, trainer: Trainer, history: Callable[[], History], clock: Clock) -> None:
        """Wire the handler; `history` reads what has been announced up to now."""
        self._trainer = trainer
        self._history = history
        self._clock = clock

    def __call__(self, deliveries: Sequence[Delivery]) -> list[Outgoing]:
        history = self._history()
        outgoing: list[Outgoing] = []
        for record, request in deliveries:
            if not isinstance(request, RetrainingRequest):
                continue
            if request.model_name != MODEL_NAME:
                outgoing.append(self._rejected(record, request))
            elif _is_answered(history, record, request):
                log.info("answered by an earlier run", **fields(trace_id=request.trace_id, event_id=request.event_id))
                metrics.TRAININGS.labels(MODEL_NAME, "coalesced").inc()
            else:
                for event in self._announced(request, history):
                    history = history.followed_by(event)
                    outgoing.append(Outgoing(MODELS.name, event.model_name.encode(), codec.encode(event)))
        return outgoing

    def _announced(self, request: RetrainingRequest, history: History) -> list[ModelEvent]:
        """Train, and return what to announce, chained to `history`."""
        now, started = self._clock.now(), self._clock.monotonic_seconds()
        steps = self._trainer.run(history.champion(MODEL_NAME), now=now)
        metrics.TRAINING_SECONDS.labels(MODEL_NAME).observe(self._clock.monotonic_seconds() - started)
        outcome = steps[-1].action if steps[-1].model_version else "impossible"
        metrics.TRAININGS.labels(MODEL_NAME, outcome).inc()
        log.info("run ended: %s", steps[-1].reason, **fields(outcome=outcome, trace_id=request.trace_id))
        events: list[ModelEvent] = []
        for step in steps:
            event = self._event(request, step, now, history.head)
            history = history.followed_by(event)
            events.append(event)
        return events

    def _event(self, request: RetrainingRequest, step: Step, now: datetime, previous: str | None) -> ModelEvent:
        return ModelEvent(
            event_id=_event_id(request, step.action),
            occurred_at=now,
            trace_id=request.trace_id,
            model_name=request.model_name,
            model_version=step.model_version,
            action=step.action,
            model_digest=step.model_digest,
            feature_version=self._trainer.feature_set.version,
            actor=ACTOR,
            reason=step.reason[:4096],
            metrics=step.metrics,
            previous_digest=previous,
        )

    def _rejected(self, record: Record, request: RetrainingRequest) -> Outgoing:
        explanation = f"no model {request.model_name!r} is trained here; ask for {MODEL_NAME!r}"
        metrics.DEAD_LETTERS.labels(ACTOR, record.topic, "unknown_model").inc()
        return dead_letter(ACTOR, record, BadRecordError("unknown_model", explanation), self._clock.now())


def _is_answered(history: History, record: Record, request: RetrainingRequest) -> bool:
    last_run = history.last_run(MODEL_NAME)
    if last_run is not None and record.produced_ms < last_run.timestamp() * 1000:
        return True
    return history.holds(frozenset(_event_id(request, action) for action in _ACTIONS))


def _event_id(request: RetrainingRequest, action: str) -> str:
    return derived_event_id(request.occurred_at, MODELS.name, request.event_id, action)
