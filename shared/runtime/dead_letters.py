"""Rejected records, kept with their reason."""

from datetime import datetime

from shared.bus.base import Outgoing, Record
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import DeadLetter
from shared.contracts.ids import derived_event_id, new_trace_id
from shared.contracts.topics import BY_NAME
from shared.runtime.tracing.context import context_in

VALUE_BYTES_MAX = 2_000_000
"""More than this of a rejected record is cut, so that its dead letter itself fits on the log."""
KEY_BYTES_MAX = 100_000
"""More than this of its key is cut; its dead letter then travels under its place."""

_EXPLANATION_CHARACTERS_MAX = 4096


def dead_letter(service: str, record: Record, error: BadRecordError, now: datetime) -> Outgoing:
    """Return the dead letter of `record`, to be published in the transaction that moves past it."""
    return letter_about(record, rejection(service, record, error, now))


def rejection(service: str, record: Record, error: BadRecordError, now: datetime) -> DeadLetter:
    """Return what is said of a record that `service` rejects; it is of the record's trace, or of a new one."""
    context = context_in(record.headers)
    return DeadLetter(
        event_id=derived_event_id(now, "dead-letter", service, _place(record)),
        occurred_at=now,
        trace_id=context.trace_id if context else new_trace_id(),
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


def letter_about(record: Record, letter: DeadLetter) -> Outgoing:
    """Return `letter` for the log, under the record's headers: who sends the record again goes on with its trace."""
    key = record.key if record.key and len(record.key) <= KEY_BYTES_MAX else _place(record).encode()
    return Outgoing(BY_NAME[record.topic].dead_letter_name, key, codec.encode(letter), headers=record.headers)


def _place(record: Record) -> str:
    return f"{record.topic}/{record.partition}/{record.offset}"
