"""A body in, checked events out, ready for the log. No I/O."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Struct

from services.ingest.posted import Posted
from services.ingest.problems import IngestError, InvalidEventError, MalformedError
from services.ingest.refusals import refused
from shared.bus.base import Outgoing
from shared.contracts.ids import new_trace_id

# Readers keep event time in 64 bits of nanoseconds; outside these years it is a mistake of units anyway.
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2262, 1, 1, tzinfo=UTC)

_encoder = msgspec.json.Encoder()


class Taken(NamedTuple):
    """An event that was found good."""

    event_id: str
    trace_id: str
    outgoing: Outgoing


class _Batch(Struct, forbid_unknown_fields=True):
    events: list[msgspec.Raw]


_batch_decoder = msgspec.json.Decoder(_Batch)
_BATCH_SCHEMA = {"title": "a batch", "properties": {"events": {"description": 'a list, as in {"events": [...]}.'}}}


def take(
    posted: Posted,
    body: bytes | msgspec.Raw,
    *,
    trace_id: str | None = None,
    choose_id: Callable[[datetime], str] | None = None,
) -> Taken:
    """Return the event in `body`.

    trace_id: of the request, for an event that carries none; else it gets a new one.
    choose_id: event time to id, for an event that carries none; else the id is derived from what the event says.

    Raises:
        MalformedError: not JSON.
        InvalidEventError: a field is missing, unknown or wrong.
        Whatever `choose_id` raises.
    """
    event = _decoded(posted, body)
    event.occurred_at = _in_range(event.occurred_at)
    if event.trace_id is UNSET:
        event.trace_id = trace_id or new_trace_id()
    if event.event_id is UNSET:
        event.event_id = choose_id(event.occurred_at) if choose_id else posted.natural_id(event)
    topic = posted.topic
    outgoing = Outgoing(topic.name, topic.key_of(event).encode(), _encoder.encode(event))
    return Taken(event.event_id, event.trace_id, outgoing)


def take_batch(
    posted: Posted, body: bytes, *, events_max: int, trace_id: str | None = None
) -> list[Taken | IngestError]:
    """Return what became of each event of `{"events": [...]}`, in order.

    Raises:
        MalformedError: not JSON.
        InvalidEventError: not a batch, or one with more than `events_max` events.
    """
    try:
        events = _batch_decoder.decode(body).events
    except msgspec.ValidationError as error:
        raise refused(error, _BATCH_SCHEMA) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json(error) from error
    if len(events) > events_max:
        raise InvalidEventError(
            "too_many_events",
            f"{len(events)} events in one batch",
            field="events",
            hint=f"Send at most {events_max} events a batch.",
        )
    return list(_each(posted, events, trace_id))


def _each(posted: Posted, events: list[msgspec.Raw], trace_id: str | None) -> Iterator[Taken | IngestError]:
    for position, event in enumerate(events):
        try:
            yield take(posted, event, trace_id=trace_id)
        except IngestError as error:
            problem = error.problem
            place = f"events[{position}]" + (f".{problem.field}" if problem.field else "")
            yield InvalidEventError(problem.code, problem.message, field=place, hint=problem.hint)


def _decoded(posted: Posted, body: bytes | msgspec.Raw) -> Any:
    try:
        return posted.decoder.decode(body)
    except msgspec.ValidationError as error:
        raise refused(error, posted.schema) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json(error) from error


def _not_json(error: Exception) -> MalformedError:
    return MalformedError("not_json", str(error), hint="Send JSON in UTF-8, not compressed.")


def _in_range(occurred_at: datetime) -> datetime:
    # Compared as it came: at the ends of the calendar the conversion to UTC itself would overflow.
    if not _EARLIEST <= occurred_at < _LATEST:
        raise InvalidEventError(
            "invalid_field",
            f"{occurred_at.isoformat()} is not between {_EARLIEST.year} and {_LATEST.year}",
            field="occurred_at",
            hint="Send the event's own time: RFC 3339 with an offset, for example 2026-01-31T09:30:00Z.",
        )
    return occurred_at.astimezone(UTC)
