"""Impressions, interactions and model events in; alarms about the model that recommends out."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from services.drift.recommendation.clicks import CLICK_KINDS, Impressions, LastShown, RecentShare
from services.drift.recommendation.watch import RecommendationWatch
from services.drift.replay import Replay
from services.drift.responder import Responder
from services.drift.settings import DriftSettings
from services.drift.shown.status import ModelStatus
from shared.bus.base import Outgoing
from shared.contracts.events import ModelEvent
from shared.contracts.shopping import Impression, Interaction
from shared.contracts.topics import IMPRESSIONS, INTERACTIONS, MODELS
from shared.models.lineage import puts_in_force
from shared.models.manifest import RECOMMENDATION
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.logs import fields
from shared.runtime.loop import Delivery

log = logging.getLogger(__name__)

TOPIC_NAMES = (MODELS.name, IMPRESSIONS.name, INTERACTIONS.name)
PERSONAL_SURFACES = frozenset({"user", "session"})
"""Where the model chose for one shopper; lists that are alike for all, or ranked for the caller, are not judged."""
SHOWN_SHARE = "shown_share"
_OF_A_VERSION = (
    metrics.DRIFT_STATISTIC,
    metrics.DRIFT_EVIDENCE_DAYS,
    metrics.DRIFT_THRESHOLD_DAYS,
    metrics.CLICK_THROUGH_RATIO,
    metrics.COVERAGE_RATIO,
)


@dataclass
class Memory:
    """What the monitor knows, and would not find out again.

    shown_share: of what shoppers turn to, how much was in the last list they were shown. since_ms: when the event that
    put the version in force was written to the log, in milliseconds.
    """

    replay: Replay
    responder: Responder
    impressions: Impressions
    last_shown: LastShown
    shown_share: RecentShare
    watch: RecommendationWatch | None = None
    since_ms: int = 0


class RecommendationMonitor:
    """Watches the model that recommends; called from one thread at a time.

    Its records come in the order in which the log took them in.
    """

    def __init__(self, settings: DriftSettings, clock: Clock) -> None:
        """Start without a model."""
        remembered_max = settings.headrace_drift_lists_remembered
        window = timedelta(seconds=settings.headrace_drift_click_window_seconds)
        self.memory = Memory(
            Replay(),
            Responder(RECOMMENDATION, settings),
            Impressions(click_window=window, remembered_max=remembered_max),
            LastShown(remembered_max),
            RecentShare(settings.headrace_drift_click_through_window),
        )
        self._settings = settings
        self._clock = clock

    def __call__(self, deliveries: Sequence[Delivery]) -> list[Outgoing]:
        replay = self.memory.replay
        replay.begin(deliveries)
        answers: list[Outgoing] = []
        newest: Delivery | None = None
        for delivery in deliveries:
            if replay.repeats(delivery.record):
                answers += replay.answered(delivery.record)
                continue
            self._take_in(delivery)
            replay.apply(delivery.record)
            newest = delivery
        return answers if newest is None else [*answers, *self._told(newest)]

    def status(self) -> ModelStatus | None:
        """Return how the model in force fares; None while there is none."""
        memory, watch = self.memory, self.memory.watch
        if watch is None:
            return None
        return ModelStatus(
            model_name=RECOMMENDATION,
            model_version=watch.version,
            since=datetime.fromtimestamp(memory.since_ms / 1000, UTC),
            newest=watch.newest,
            alarms_a_quarter=self._settings.headrace_drift_needless_retrainings_a_quarter,
            needless_retrainings=memory.responder.needless_retrainings(watch.newest),
            families=watch.families(),
            signals=watch.signals(),
            alarms=list(memory.responder.alarms),
            request=memory.responder.request,
            waits_for=memory.responder.waits_for,
            blind=watch.blind(),
        )

    def _take_in(self, delivery: Delivery) -> None:
        memory, produced_ms = self.memory, delivery.record.produced_ms
        match delivery.event:
            case ModelEvent() as event:
                self._model_event(event, produced_ms)
            case Impression() as impression:
                self._impression(impression, produced_ms)
            case Interaction() as interaction:
                memory.impressions.click(interaction, produced_ms)
                was_shown = memory.last_shown.has(interaction)
                if was_shown is not None and interaction.kind in CLICK_KINDS:
                    memory.shown_share.observe(success=was_shown)
            case _:
                pass
        for shown in memory.impressions.over(produced_ms):
            if memory.watch is not None and shown.version == memory.watch.version:
                memory.watch.observe(shown)

    def _told(self, newest: Delivery) -> list[Outgoing]:
        """Return what follows from all that was taken in up to `newest`, and remember it beside that record."""
        memory = self.memory
        share = memory.shown_share.share
        if share is not None:
            metrics.DRIFT_STATISTIC.labels(RECOMMENDATION, SHOWN_SHARE).set(share)
        if memory.watch is None:
            return []
        memory.watch.publish()
        answers = memory.responder.respond(memory.watch, newest, self._clock.now())
        memory.replay.apply(newest.record, answers)
        return answers

    def _model_event(self, event: ModelEvent, produced_ms: int) -> None:
        memory = self.memory
        memory.responder.model_event(event, memory.watch)
        if not puts_in_force(event, RECOMMENDATION):
            return
        if memory.watch is not None and memory.watch.version == event.model_version:
            return  # announced again: what is known about it still holds
        memory.watch, memory.since_ms = RecommendationWatch(event.model_version, self._settings), produced_ms
        for gauge in _OF_A_VERSION:
            gauge.remove_by_labels({"model": RECOMMENDATION})
        log.info("watching model %s %s", event.model_name, event.model_version, **fields(trace_id=event.trace_id))

    def _impression(self, impression: Impression, produced_ms: int) -> None:
        is_judged = impression.surface in PERSONAL_SURFACES and impression.model_name == RECOMMENDATION
        if not impression.items or not is_judged or impression.model_version == 0:
            return
        self.memory.last_shown.show(impression)
        if not self.memory.impressions.show(impression, produced_ms):
            metrics.UNWATCHED_IMPRESSIONS.inc()
