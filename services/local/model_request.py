"""Asking for a new model, and following what becomes of it."""

import contextlib
from collections.abc import Iterator

from services.local.errors import PlatformError
from services.training.model_log import ACTOR
from shared.bus.base import Bus, Outgoing, Tail
from shared.contracts import codec
from shared.contracts.events import ModelEvent, RetrainingRequest
from shared.contracts.ids import new_event_id, new_trace_id
from shared.contracts.topics import MODELS, RETRAINING
from shared.models.manifest import MODEL_NAME
from shared.runtime.clock import Clock

RUN_ENDS = frozenset({"promoted", "shadowed", "refused"})
"""What may become of a model once a run has made it: in force, on trial first, or neither."""
_POLL_SECONDS = 0.2


def new_request(clock: Clock, *, requested_by: str, reason: str, model_name: str = MODEL_NAME) -> RetrainingRequest:
    """Return a request for a new model, not published."""
    now = clock.now()
    return RetrainingRequest(
        event_id=new_event_id(now),
        occurred_at=now,
        trace_id=new_trace_id(),
        model_name=model_name,
        requested_by=requested_by,
        reason=reason,
    )


def request_training(
    bus: Bus, clock: Clock, *, requested_by: str, reason: str, model_name: str = MODEL_NAME
) -> RetrainingRequest:
    """Publish a request for a new model and return it once the log has it; raises BusUnavailableError."""
    request = new_request(clock, requested_by=requested_by, reason=reason, model_name=model_name)
    with contextlib.closing(bus.publisher()) as publisher:
        publisher.send(Outgoing(RETRAINING.name, RETRAINING.key_of(request).encode(), codec.encode(request))).result()
    return request


def follow_models(
    tail: Tail, clock: Clock, *, seconds_max: float, model_name: str = MODEL_NAME
) -> Iterator[ModelEvent]:
    """Yield what training says of the model from where `tail` stands, up to what ends a run: an action of RUN_ENDS.

    tail: opened on `models` before the request was published, so that no answer is missed. A run that another
        request began meanwhile answers this one too.

    Raises:
        PlatformError: no run ended in time.
    """
    deadline = clock.monotonic_seconds() + seconds_max
    while clock.monotonic_seconds() < deadline:
        for record in tail.poll(wait_seconds=_POLL_SECONDS):
            event = codec.decode(ModelEvent, record.value or b"")
            if event.model_name == model_name and event.actor == ACTOR:
                yield event
                if event.action in RUN_ENDS:
                    return
    raise PlatformError(
        f"no answer on `{MODELS.name}` within {seconds_max:.0f} s; is training up? see `headrace status`"
    )
