"""Rows of a file to payments and labels, in batches, and why a row is none."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from shared.contracts import codec
from shared.contracts.events import Label, Transaction
from shared.contracts.topics import LABELS, TRANSACTIONS
from shared.features.applying import Arrived
from shared.features.state import log_origin
from shared.files.stream import Step
from shared.intake.posted import POSTED
from shared.intake.problems import IntakeError, Problem
from shared.intake.taking import take

_POSTED = {posted.topic.name: posted for posted in POSTED}
_EVENT_TYPES: dict[str, type[Transaction | Label]] = {TRANSACTIONS.name: Transaction, LABELS.name: Label}
_PARTITION = 0
_encoder = msgspec.json.Encoder(enc_hook=str)


class Refusal(Struct, frozen=True, kw_only=True):
    """A payment that was not decided, or a label that was not taken; `row` counts from 1."""

    row: int
    topic: str
    event: dict[str, Any]
    error: Problem


class Batch(NamedTuple):
    """Payments and labels in order of time, and the rows among them that make none."""

    arrived: list[Arrived]
    refusals: list[Refusal]


def batches(steps: Iterable[Step], *, trace_id: str, records_max: int, span_max: timedelta) -> Iterator[Batch]:
    """Yield everything, in order, in batches of at most `records_max` rows that lie at most `span_max` apart.

    A payment's origin is its row (see row_of). Raises FileError, as `steps` does.
    """
    batch = Batch([], [])
    for step in steps:
        taken = _taken(step, trace_id)
        if isinstance(taken, Refusal):
            batch.refusals.append(taken)
        else:
            if batch.arrived and taken.event.occurred_at - batch.arrived[0].event.occurred_at > span_max:
                yield batch
                batch = Batch([], [])
            batch.arrived.append(taken)
        if len(batch.arrived) + len(batch.refusals) >= records_max:
            yield batch
            batch = Batch([], [])
    if batch.arrived or batch.refusals:
        yield batch


def row_of(origin: int) -> int:
    """Return the row that a payment came from."""
    return origin - log_origin(_PARTITION, 0)


def _taken(step: Step, trace_id: str) -> Arrived | Refusal:
    if step.problem is not None:
        return Refusal(row=step.row, topic=step.topic, event=step.event, error=step.problem)
    try:
        taken = take(_POSTED[step.topic], _encoder.encode(step.event), trace_id=trace_id)
    except IntakeError as error:
        return Refusal(row=step.row, topic=step.topic, event=step.event, error=error.problem)
    event = codec.decode(_EVENT_TYPES[step.topic], taken.outgoing.value)
    return Arrived(event, log_origin(_PARTITION, step.row))
