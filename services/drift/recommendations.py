"""Impressions, interactions and model events in; alarms about the model that recommends out."""

import logging
from collections.abc import Sequence
from datetime import timedelta

from services.drift.click_through import ClickThrough, RecentShare
from services.drift.clicks import CLICK_KINDS, Impressions, LastShown
from services.drift.decision import AlarmPolicy
from services.drift.replay import Replay
from services.drift.settings import DriftSettings
from services.drift.telling import told
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


class RecommendationMonitor:
    """Watches the model that recommends; its memory lives in this process.

    Its records come in the order in which the log took them in.
    """

    def __init__(self, settings: DriftSettings, clock: Clock) -> None:
        """Start without a model."""
        self._settings = settings
        self._clock = clock
        self._replay = Replay()
        remembered_max = settings.headrace_drift_lists_remembered
        window = timedelta(seconds=settings.headrace_drift_click_window_seconds)
        self._impressions = Impressions(click_window=window, remembered_max=remembered_max)
        self._last_shown = LastShown(remembered_max)
        self._shown_share = RecentShare("shown_share", settings.headrace_drift_click_through_window)
        self._watched: ClickThrough | None = None
        self._policy = self._new_policy()

    def __call__(self, deliveries: Sequence[Delivery]) -> list[Outgoing]:
        self._replay.begin(deliveries)
        return [outgoing for delivery in deliveries for outgoing in self._replay.answer(delivery, self._apply)]

    def _apply(self, delivery: Delivery) -> list[Outgoing]:
        produced_ms = delivery.record.produced_ms
        match delivery.event:
            case ModelEvent() as event:
                self._model_event(event)
            case Impression() as impression:
                self._impression(impression, produced_ms)
            case Interaction() as interaction:
                self._impressions.click(interaction, produced_ms)
                was_shown = self._last_shown.has(interaction)
                if was_shown is not None and interaction.kind in CLICK_KINDS:
                    self._shown_share.observe(success=was_shown)
            case _:
                pass
        return self._judged(delivery)

    def _model_event(self, event: ModelEvent) -> None:
        if not puts_in_force(event, RECOMMENDATION):
            return
        if self._watched is not None and self._watched.version == event.model_version:
            return  # announced again: what is known about it still holds
        self._watched, self._policy = ClickThrough(event.model_version, self._settings), self._new_policy()
        metrics.DRIFT_STATISTIC.remove_by_labels({"model": RECOMMENDATION})
        log.info("watching model %s %s", event.model_name, event.model_version, **fields(trace_id=event.trace_id))

    def _impression(self, impression: Impression, produced_ms: int) -> None:
        is_judged = impression.surface in PERSONAL_SURFACES and impression.model_name == RECOMMENDATION
        if not impression.items or not is_judged or impression.model_version == 0:
            return
        self._last_shown.show(impression)
        if not self._impressions.show(impression, produced_ms):
            metrics.UNWATCHED_IMPRESSIONS.inc()

    def _judged(self, delivery: Delivery) -> list[Outgoing]:
        """Tell what follows from the lists whose time is over by this record."""
        answers: list[Outgoing] = []
        for shown in self._impressions.over(delivery.record.produced_ms):
            watched = self._watched
            if watched is None or shown.version != watched.version:
                continue
            finding = watched.observe(shown)
            if finding is not None:
                response = self._policy.respond(finding, self._clock.now())
                answers += told(finding, response, delivery, model_name=RECOMMENDATION, version=watched.version)
        return answers

    def _new_policy(self) -> AlarmPolicy:
        cooldown = timedelta(seconds=self._settings.headrace_drift_cooldown_seconds)
        return AlarmPolicy(cooldown=cooldown, retrain_on_distribution=False)
