"""What ingest answers."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from shared.contracts.fields import EventId, TraceId
from shared.intake.problems import Problem


class Accepted(Struct, frozen=True, kw_only=True):
    """One event is on the log."""

    event_id: EventId
    trace_id: TraceId


class BatchItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one event of a batch: on the log under `event_id`, or refused with `error`."""

    status: Annotated[int, Meta(description="202 or 422.")]
    event_id: EventId | UnsetType = UNSET
    error: Problem | UnsetType = UNSET


class BatchAnswer(Struct, frozen=True, kw_only=True):
    """What became of every event of a batch, in the order sent."""

    accepted: int
    rejected: int
    items: list[BatchItem]
