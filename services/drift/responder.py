"""Answers what is found about one model, from version to version: decides, tells, and follows what becomes of it."""

import logging
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Protocol, get_args

from services.drift.decision import AlarmPolicy, Facts, Found
from services.drift.retrainings import Ended, Retrainings, State
from services.drift.settings import DriftSettings
from services.drift.shown.status import ALARMS_KEPT
from services.drift.signals import Signal
from services.drift.telling import ModelVersion, alarm_of, evidence_of, request_of, sent
from shared.bus.base import Outgoing
from shared.contracts.events import DriftAlarm, ModelEvent, RetrainingRequest
from shared.models.lineage import puts_in_force
from shared.models.manifest import RECALIBRATES
from shared.runtime import metrics
from shared.runtime.loop import Delivery

log = logging.getLogger(__name__)


class Watched(Protocol):
    """The watches of one version."""

    @property
    def version(self) -> int:
        """Which version of the model they watch."""
        ...

    @property
    def newest(self) -> datetime | None:
        """Event time up to which they have looked; None before the first payment or list."""
        ...

    def found(self) -> Found:
        """Return what stands at its threshold, by family."""
        ...

    def signals(self) -> list[Signal]:
        """Return every watch as it stands."""
        ...

    def broken(self) -> Sequence[str]:
        """Return the feeds that are broken now, as people call them."""
        ...

    def fresh_frauds(self, since: datetime | None) -> int | None:
        """Return how many frauds since then are labelled; None where a new model does not learn from them."""
        ...

    def estimates(self) -> str:
        """Tell what is thought of its performance before labels tell."""
        ...

    def begin_again(self, families: Sequence[str]) -> None:
        """Forget the evidence of these families."""
        ...


class Responder:
    """What was told and asked about one model, and what follows from what is found now."""

    def __init__(self, model_name: str, settings: DriftSettings) -> None:
        """Start with nothing told."""
        self.model_name = model_name
        self.alarms: deque[DriftAlarm] = deque(maxlen=ALARMS_KEPT)
        self.waits_for = ""
        self._budget = settings.headrace_drift_needless_retrainings_a_quarter
        self._cooldown = timedelta(seconds=settings.headrace_drift_cooldown_seconds)
        self._retrain_on_data = settings.headrace_drift_retrain_on_data
        self._fresh_frauds_min = settings.headrace_drift_fresh_frauds_min
        self._retrainings = Retrainings(
            model_name,
            cooldown=self._cooldown,
            answer_max=timedelta(seconds=settings.headrace_drift_answer_seconds_max),
        )
        self._policy = self._new_policy()
        self._in_force = 0

    @property
    def request(self) -> RetrainingRequest | None:
        """The request for a new model that has not come to its end."""
        return self._retrainings.request

    def needless_retrainings(self, until: datetime | None) -> int:
        """Return how many retrainings were needless in the quarter of event time up to then."""
        return 0 if until is None else self._retrainings.needless_in_quarter(until)

    def model_event(self, event: ModelEvent, watched: Watched | None) -> None:
        """Follow what is announced on `models`; a version that comes into force has nothing told about it yet.

        One that recalibrates the version before it has what was told of that one.
        """
        ended = self._retrainings.take_in(event)
        if puts_in_force(event, self.model_name) and event.model_version != self._in_force:
            if event.metrics.get(RECALIBRATES) != self._in_force:
                self._policy, self.waits_for = self._new_policy(), ""
            self._in_force = event.model_version
        if ended is not None:
            self._settle(ended, watched)

    def respond(self, watched: Watched, delivery: Delivery, now: datetime) -> list[Outgoing]:
        """Return what is to be told now that `delivery` was taken in; now: wall time."""
        told = self._response(watched, delivery, now)
        self._publish(watched, now)
        return told

    def _response(self, watched: Watched, delivery: Delivery, now: datetime) -> list[Outgoing]:
        overdue = self._retrainings.overdue(now)
        if overdue is not None:
            self._settle(overdue, watched)
        found = watched.found()
        response = self._policy.respond(found, self._facts(watched, found), now)
        self.waits_for = response.waits_for
        of = ModelVersion(self.model_name, watched.version)
        alarms = [alarm_of(alarm, of, delivery) for alarm in response.alarms]
        self.alarms.extendleft(alarms)
        if response.request is None:
            return [sent(alarm) for alarm in alarms]
        findings = [finding for family in found.values() for finding in family]
        evidence = evidence_of(findings, watched.signals())
        request = request_of(response.request, evidence, of, delivery)
        self._retrainings.ask(request, self._policy.asking(found), now)
        return [*(sent(alarm) for alarm in alarms), sent(request)]

    def _facts(self, watched: Watched, found: Found) -> Facts:
        leading = self._policy.leading(found)
        return Facts(
            broken=watched.broken(),
            fresh_frauds=None if leading is None else watched.fresh_frauds(leading.since),
            awaited=self._retrainings.awaited(),
            asks_from=self._retrainings.asks_from,
            estimates=watched.estimates() if found else "",
        )

    def _settle(self, ended: Ended, watched: Watched | None) -> None:
        """Count a retraining that has come to its end; what spoke for a needless one must build up anew."""
        metrics.DRIFT_RETRAININGS.labels(self.model_name, ended.ending).inc()
        log.info("a retraining of %s that drift asked for was %s", self.model_name, ended.ending.replace("_", " "))
        if ended.ending == "needless" and watched is not None:
            watched.begin_again(ended.families)

    def _publish(self, watched: Watched, now: datetime) -> None:
        metrics.DRIFT_BUDGET_RETRAININGS.labels(self.model_name).set(self._budget)
        metrics.DRIFT_NEEDLESS_RETRAININGS.labels(self.model_name).set(self.needless_retrainings(watched.newest))
        current = self._retrainings.state(now)
        for state in get_args(State):
            metrics.RETRAINING_STATE.labels(self.model_name, state).set(state == current)

    def _new_policy(self) -> AlarmPolicy:
        return AlarmPolicy(
            cooldown=self._cooldown, retrain_on_data=self._retrain_on_data, fresh_frauds_min=self._fresh_frauds_min
        )
