"""The worker that takes rollouts on, step by step."""

import logging
import threading
from collections.abc import Callable

from services.training.archive import Archive
from services.training.model_log import History, ModelLog
from services.training.refusal import RefusedError
from services.training.rollout.observed import observed
from services.training.rollout.stages import Rollouts, Stage, rollouts
from services.training.rollout.steps import payments_needed, step, taken_back, waits_for
from services.training.settings import TrainingSettings
from shared.bus.base import BusUnavailableError
from shared.contracts.events import ModelEvent
from shared.features.definitions import FeatureSet
from shared.models.lineage import puts_in_force
from shared.models.manifest import MODEL_NAME
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.logs import fields

log = logging.getLogger(__name__)


class RolloutJob:
    """Takes the rollouts of the fraud model on.

    It keeps nothing: what is under way stands on `models`, what was seen in the archive. So a restart changes nothing,
    and of several processes that look at the same time one takes a step.
    """

    name = "rollout"

    def __init__(
        self,
        archive: Archive,
        feature_set: FeatureSet,
        model_log: ModelLog,
        settings: TrainingSettings,
        clock: Clock,
        *,
        show_champion: Callable[[ModelEvent], None],
    ) -> None:
        """Wire the worker; show_champion: told of every version that comes into force, once that is announced."""
        self._archive = archive
        self._feature_set = feature_set
        self._log = model_log
        self._settings = settings
        self._clock = clock
        self._show_champion = show_champion
        self._waiting: set[str] = set()

    def problem(self) -> str | None:
        """What waits is told in the log and on `models`; it keeps nobody from working."""
        return None

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(self._settings.headrace_training_rollout_interval_seconds):
            self.look()

    def look(self) -> list[ModelEvent]:
        """Take one step where one is due; return what was announced."""
        try:
            history = self._log.history()
            now = rollouts(history, MODEL_NAME, self._feature_set.version)
            events = self._due(history, now)
            announced = self._log.append(lambda then: events if then.head == history.head else []) if events else []
        except BusUnavailableError as error:
            log.warning("rollouts wait: %s", error)
            return []
        except RefusedError as refusal:
            log.warning("rollouts wait: %s", refusal, **fields(code=refusal.code))
            return []
        for event in announced:
            self._tell(event)
        if not announced:
            self._tell_waiting(now)
        return announced

    def _due(self, history: History, now: Rollouts) -> list[ModelEvent]:
        at = self._clock.now()
        if now.overtaken:
            return [taken_back(history, overtaken, now=at) for overtaken in now.overtaken]
        for stage in now.stages:
            events = self._step(history, stage)
            if events:
                return events
        return []

    def _step(self, history: History, stage: Stage) -> list[ModelEvent]:
        needed = payments_needed(stage, self._settings)
        seen = observed(self._archive, self._feature_set, stage, self._settings, needed=needed)
        return step(history, stage, seen, self._settings, now=self._clock.now())

    def _tell(self, event: ModelEvent) -> None:
        metrics.ROLLOUT_STEPS.labels(event.model_name, event.action).inc()
        about = fields(version=event.model_version, trace_id=event.trace_id, event_id=event.event_id)
        log.info("rollout: %s: %s", event.action, event.reason, **about)
        if puts_in_force(event, MODEL_NAME):
            self._show_champion(event)

    def _tell_waiting(self, now: Rollouts) -> None:
        """Say once of each stage what it goes on for."""
        for stage in now.stages:
            if stage.began.event_id not in self._waiting:
                log.info("rollout: %s", waits_for(stage, self._settings), **fields(trace_id=stage.began.trace_id))
        self._waiting = {stage.began.event_id for stage in now.stages}
