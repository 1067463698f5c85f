"""Rejected records, kept with their reason."""

from datetime import datetime

from shared.bus.base import Outgoing, Record
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import DeadLetter
from shared.contracts.ids import derived_event_id, new_trace_id
from shared.contracts.topics import BY_NAME

VALUE_BYTES_MAX = 2_000_000
"""More than this of a rejected record is cut, so that its dead letter itself fits on the log."""
KEY_BYTES_MAX = 100_000
"""More than this of its key is cut; its dead letter then travels under its place."""

_EXPLANATION_CHARACTERS_MAX = 4096


def dead_letter(service: str, record: Record, error: BadRecordError, now: datetime) -> Outgoing:
    """Return the dead letter of `record`, to be published in the transaction that moves past it."""
    place = f"{record.topic}/{record.partition}/{record.offset}"
    event = DeadLetter(
        event_id=derived_event_id(now, "dead-letter", service, place),
        occurred_at=now,
        trace_id=new_trace_id(),
        service=service,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        key=None if record.key is None else record.key[:KEY_BYTES_MAX],
        value=None if record.value is None else record.value[:VALUE_BYTES_MAX],
        value_bytes_total=len(record.value or b""),
        error=error.error,
        explanation=str(error)[:_EXPLANATION_CHARACTERS_MAX],
    )
    key = record.key if record.key and len(record.key) <= KEY_BYTES_MAX else place.encode()
    return Outgoing(BY_NAME[record.topic].dead_letter_name, key, codec.encode(event))
