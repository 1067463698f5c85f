"""What a finding says to the world: an alarm, and where it asks for one, a request for a new model."""

import logging

from services.drift.decision import Finding, Response
from shared.bus.base import Outgoing
from shared.contracts import codec
from shared.contracts.events import DriftAlarm, RetrainingRequest
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import DRIFT, RETRAINING
from shared.runtime import metrics
from shared.runtime.logs import fields
from shared.runtime.loop import Delivery

log = logging.getLogger(__name__)


def told(finding: Finding, response: Response, delivery: Delivery, *, model_name: str, version: int) -> list[Outgoing]:
    """Return the records that tell of `finding`, none with Response.IGNORE.

    delivery: the record that brought it; told again of the same record, the finding has the same ids.
    """
    if response is Response.IGNORE:
        return []
    trace_id = delivery.event.trace_id
    place = f"{delivery.record.topic}/{delivery.record.partition}/{delivery.record.offset}"
    identity = (model_name, str(version), finding.signal, place)
    alarm = DriftAlarm(
        event_id=derived_event_id(finding.at, DRIFT.name, *identity),
        occurred_at=finding.at,
        trace_id=trace_id,
        model_name=model_name,
        model_version=version,
        signal=finding.signal,
        statistic=finding.statistic,
        threshold=finding.threshold,
        samples=finding.samples,
        explanation=finding.explanation,
    )
    metrics.DRIFT_ALARMS.labels(model_name, finding.signal).inc()
    log.warning("%s", finding.explanation, **fields(trace_id=trace_id, signal=finding.signal))
    records = [Outgoing(DRIFT.name, model_name.encode(), codec.encode(alarm))]
    if response is Response.ALARM_AND_RETRAIN:
        request = RetrainingRequest(
            event_id=derived_event_id(finding.at, RETRAINING.name, *identity),
            occurred_at=finding.at,
            trace_id=trace_id,
            model_name=model_name,
            requested_by="drift",
            reason=finding.explanation,
        )
        records.append(Outgoing(RETRAINING.name, model_name.encode(), codec.encode(request)))
    return records
