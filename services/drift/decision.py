"""What follows from a finding: nothing, an alarm, an alarm and a request for a new model."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum


@dataclass(frozen=True)
class Finding:
    """A statistic that has reached its threshold.

    at: event time of the newest payment, or list of recommendations, looked at.
    harmful: whether users are worse off already, or the input has merely changed.
    """

    signal: str
    statistic: float
    threshold: float
    samples: int
    at: datetime
    explanation: str
    harmful: bool


class Response(Enum):
    """What to do about a finding."""

    IGNORE = "ignore"
    ALARM = "alarm"
    ALARM_AND_RETRAIN = "alarm and retrain"


class AlarmPolicy:
    """Decides for one model version.

    What asks for a new model is told again when it lasts past the cool-down, since that model has not come: training
    was asked too soon, or failed, or the gates refused what it made. What does not ask is told once.
    """

    def __init__(self, *, cooldown: timedelta, retrain_on_distribution: bool) -> None:
        self._cooldown = cooldown
        self._retrain_on_distribution = retrain_on_distribution
        self._told_at: dict[str, datetime] = {}
        self._requested_at: datetime | None = None

    def respond(self, finding: Finding, now: datetime) -> Response:
        """Return what to do about `finding`, and remember having done it; `now` is wall time."""
        asks = finding.harmful or self._retrain_on_distribution
        told_at = self._told_at.get(finding.signal)
        if told_at is not None and (not asks or now - told_at < self._cooldown):
            return Response.IGNORE
        self._told_at[finding.signal] = now
        if not asks or self._waits_for_model(now):
            return Response.ALARM
        self._requested_at = now
        return Response.ALARM_AND_RETRAIN

    def _waits_for_model(self, now: datetime) -> bool:
        return self._requested_at is not None and now - self._requested_at < self._cooldown
