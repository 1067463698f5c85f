"""A batch in, checked events out, ready for the log. No I/O."""

from collections.abc import Iterator

import msgspec
from msgspec import Struct

from shared.intake.posted import Posted
from shared.intake.problems import IntakeError, InvalidEventError
from shared.intake.refusals import refused
from shared.intake.taking import Taken, not_json, take
from shared.runtime.clock_skew import FutureBound


class _Batch(Struct, forbid_unknown_fields=True):
    events: list[msgspec.Raw]


_batch_decoder = msgspec.json.Decoder(_Batch)
_BATCH_SCHEMA = {"title": "a batch", "properties": {"events": {"description": 'a list, as in {"events": [...]}.'}}}


def take_batch(
    posted: Posted,
    body: bytes,
    *,
    events_max: int,
    future: FutureBound,
    trace_id: str | None = None,
) -> list[Taken | IntakeError]:
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
        raise not_json(error) from error
    if len(events) > events_max:
        raise InvalidEventError(
            "too_many_events",
            f"{len(events)} events in one batch",
            field="events",
            hint=f"Send at most {events_max} events a batch.",
        )
    return list(_each(posted, events, future, trace_id))


def _each(
    posted: Posted, events: list[msgspec.Raw], future: FutureBound, trace_id: str | None
) -> Iterator[Taken | IntakeError]:
    for position, event in enumerate(events):
        try:
            yield take(posted, event, trace_id=trace_id, future=future)
        except IntakeError as error:
            problem = error.problem
            place = f"events[{position}]" + (f".{problem.field}" if problem.field else "")
            yield InvalidEventError(problem.code, problem.message, field=place, hint=problem.hint)
