"""A body in, a checked event out, ready for the log. No I/O."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET

from shared.bus.base import Outgoing
from shared.contracts.codec import EARLIEST, LATEST
from shared.contracts.fields import Identifier
from shared.contracts.ids import new_trace_id
from shared.intake.posted import Posted
from shared.intake.problems import InvalidEventError, MalformedError
from shared.intake.refusals import refused
from shared.runtime.clock_skew import AHEAD_OF_CLOCK, FutureBound

_TIME_HINT = "Send the event's own time: RFC 3339 with an offset, for example 2026-01-31T09:30:00Z."

_encoder = msgspec.json.Encoder()


class Taken(NamedTuple):
    """An event that was found good."""

    event_id: str
    trace_id: str
    outgoing: Outgoing


def take(
    posted: Posted,
    body: bytes | msgspec.Raw,
    *,
    trace_id: str | None = None,
    choose_id: Callable[[datetime], str] | None = None,
    future: FutureBound | None = None,
) -> Taken:
    """Return the event in `body`.

    trace_id: of the request, for an event that carries none; else it gets a new one.
    choose_id: event time to id, for an event that carries none; else the id is derived from what the event says.
    future: how far ahead of the clock the event may be dated; None takes any time.

    Raises:
        MalformedError: not JSON.
        InvalidEventError: a field is missing, unknown or wrong, or the event is dated too far ahead.
        Whatever `choose_id` raises.
    """
    return _taken(posted, _decoded(posted, body), trace_id=trace_id, choose_id=choose_id, future=future)


def put(
    put: Posted,
    entry_id: str,
    body: bytes,
    *,
    now: datetime,
    trace_id: str | None = None,
    future: FutureBound | None = None,
) -> Taken:
    """Return the event that makes `body` the entry of that id; raises as `take`.

    now: when it is so, where the body does not say. trace_id, future: as for `take`.
    """
    event = _decoded(put, body)
    key, said = put.topic.key, getattr(event, put.topic.key)
    if said is not UNSET and said != entry_id:
        raise InvalidEventError(
            "other_id",
            f"the path is that of {entry_id!r}, the body is about {said!r}",
            field=key,
            hint=f"Leave {key} out of the body, or send it to the path of its own.",
        )
    setattr(event, key, _identifier(entry_id, key))
    if event.occurred_at is UNSET:
        event.occurred_at = now
    return _taken(put, event, trace_id=trace_id, choose_id=None, future=future)


def deletion(put: Posted, entry_id: str, *, now: datetime, trace_id: str | None = None) -> Taken:
    """Return the event that deletes the entry of that id as of `now`; raises InvalidEventError for what is no id."""
    key = put.topic.key
    event = put.event_type(**{key: _identifier(entry_id, key), "occurred_at": now, "is_deleted": True})
    return _taken(put, event, trace_id=trace_id, choose_id=None, future=None)


def _taken(
    posted: Posted,
    event: Any,
    *,
    trace_id: str | None,
    choose_id: Callable[[datetime], str] | None,
    future: FutureBound | None,
) -> Taken:
    event.occurred_at = _in_range(event.occurred_at, future)
    if event.trace_id is UNSET:
        event.trace_id = trace_id or new_trace_id()
    if event.event_id is UNSET:
        event.event_id = choose_id(event.occurred_at) if choose_id else posted.natural_id(event)
    topic = posted.topic
    outgoing = Outgoing(topic.name, topic.key_of(event).encode(), _encoder.encode(event))
    return Taken(event.event_id, event.trace_id, outgoing)


def _identifier(text: str, field: str) -> str:
    try:
        return msgspec.convert(text, Identifier)
    except msgspec.ValidationError as error:
        hint = "Send 1 to 128 characters in the path, percent-encoded, no control character among them."
        raise InvalidEventError("invalid_field", str(error), field=field, hint=hint) from error


def _decoded(posted: Posted, body: bytes | msgspec.Raw) -> Any:
    try:
        return posted.decoder.decode(body)
    except msgspec.ValidationError as error:
        raise refused(error, posted.schema) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from error


def not_json(error: Exception) -> MalformedError:
    """Return what a client is told whose body is not JSON."""
    return MalformedError(
        "not_json", str(error), hint="Send JSON in UTF-8, not compressed; NaN and Infinity are not JSON."
    )


def _in_range(occurred_at: datetime, future: FutureBound | None) -> datetime:
    # Compared as it came: at the ends of the calendar the conversion to UTC itself would overflow.
    if not EARLIEST <= occurred_at < LATEST:
        raise InvalidEventError(
            "invalid_field",
            f"{occurred_at.isoformat()} is not between {EARLIEST.year} and {LATEST.year}",
            field="occurred_at",
            hint=_TIME_HINT,
        )
    if future is not None and (complaint := future.complaint(occurred_at)) is not None:
        hint = f"Check the sender's clock. {_TIME_HINT}"
        raise InvalidEventError(AHEAD_OF_CLOCK, complaint, field="occurred_at", hint=hint)
    return occurred_at.astimezone(UTC)
