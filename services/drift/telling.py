"""What is told to the world: an alarm, and where it is asked for, a request for a new model."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

from services.drift.decision import Alarm
from services.drift.finding import Finding
from services.drift.signals import Signal
from shared.bus.base import Outgoing
from shared.contracts import codec
from shared.contracts.events import DriftAlarm, DriftEvidence, RetrainingRequest
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import DRIFT, RETRAINING
from shared.runtime import metrics
from shared.runtime.logs import fields
from shared.runtime.loop import Delivery

log = logging.getLogger(__name__)

NEAR = 0.1
"""Share of its threshold from which on a signal is named beside those that have reached it."""
EVIDENCE_MAX = 20
_CHARACTERS_MAX = 4096


class ModelVersion(NamedTuple):
    """Which version of which model something is told of."""

    model_name: str
    version: int


def alarm_of(alarm: Alarm, of: ModelVersion, delivery: Delivery) -> DriftAlarm:
    """Return the event that tells of `alarm`; delivery: the record that brought it, from which its ids derive."""
    finding = alarm.finding
    identity = _identity(finding, of, delivery)
    told = DriftAlarm(
        event_id=derived_event_id(finding.at, DRIFT.name, *identity),
        occurred_at=finding.at,
        trace_id=delivery.event.trace_id,
        model_name=of.model_name,
        model_version=of.version,
        signal=finding.signal,
        statistic=finding.statistic,
        threshold=finding.threshold,
        samples=finding.samples,
        explanation=finding.explanation[:_CHARACTERS_MAX],
        kind=finding.kind,
        segment=finding.segment,
        since=finding.since,
        follows=alarm.follows[:_CHARACTERS_MAX],
    )
    metrics.DRIFT_ALARMS.labels(of.model_name, finding.signal).inc()
    about = fields(trace_id=told.trace_id, signal=finding.signal, kind=finding.kind)
    log.warning("%s %s", finding.explanation, alarm.follows, **about)
    return told


def request_of(
    leading: Finding, evidence: Sequence[DriftEvidence], of: ModelVersion, delivery: Delivery
) -> RetrainingRequest:
    """Return the event that asks for a new model, since `leading` speaks for it most."""
    identity = _identity(leading, of, delivery)
    return RetrainingRequest(
        event_id=derived_event_id(leading.at, RETRAINING.name, *identity),
        occurred_at=leading.at,
        trace_id=delivery.event.trace_id,
        model_name=of.model_name,
        requested_by="drift",
        reason=leading.explanation[:_CHARACTERS_MAX],
        evidence=list(evidence),
    )


def evidence_of(findings: Sequence[Finding], signals: Sequence[Signal]) -> list[DriftEvidence]:
    """Return all that has reached its threshold, and the signals near theirs, the strongest first."""
    named = {(finding.signal, finding.segment) for finding in findings}
    near = [
        _near(signal)
        for signal in signals
        if signal.evidence_days >= NEAR * signal.threshold_days and (signal.name, signal.segment) not in named
    ]
    return sorted([*map(_reached, findings), *near], key=_strength, reverse=True)[:EVIDENCE_MAX]


def sent(event: DriftAlarm | RetrainingRequest) -> Outgoing:
    """Return the record of an alarm or a request."""
    topic = DRIFT if isinstance(event, DriftAlarm) else RETRAINING
    return Outgoing(topic.name, event.model_name.encode(), codec.encode(event))


def _identity(finding: Finding, of: ModelVersion, delivery: Delivery) -> tuple[str, ...]:
    place = f"{delivery.record.topic}/{delivery.record.partition}/{delivery.record.offset}"
    return (of.model_name, str(of.version), finding.signal, finding.segment or "", place)


def _reached(finding: Finding) -> DriftEvidence:
    return DriftEvidence(
        signal=finding.signal,
        kind=finding.kind,
        statistic=finding.statistic,
        threshold=finding.threshold,
        samples=finding.samples,
        segment=finding.segment,
        since=finding.since,
        explanation=finding.explanation[:_CHARACTERS_MAX],
    )


def _near(signal: Signal) -> DriftEvidence:
    now = "no value" if signal.value is None else f"{signal.value:.4g}"
    held_against = "" if signal.expected is None else f", {signal.expected:.4g} is expected"
    told = f"{signal.name} is {now}{held_against}. {signal.note}".strip()
    return DriftEvidence(
        signal=signal.name,
        kind=signal.kind,
        statistic=signal.evidence_days,
        threshold=signal.threshold_days,
        samples=signal.samples,
        segment=signal.segment,
        since=signal.since,
        explanation=told[:_CHARACTERS_MAX],
    )


def _strength(evidence: DriftEvidence) -> float:
    return evidence.statistic / evidence.threshold
