"""A file's events and the labels that follow them, in event-time order."""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from services.ingest.replay.mapping import Event, Row, RowError, RowMapping
from services.ingest.replay.plan import ReplayError, ReplayPlan
from services.ingest.replay.sources import Source
from shared.contracts.topics import LABELS
from shared.intake.problems import Problem


class Step(NamedTuple):
    """One event to send, or (with `problem`) one row that cannot be sent.

    row: number in the file, the first being 1; a label has its payment's.
    occurred_at: of a row without a usable time, that of the row before.
    """

    row: int
    topic: str
    occurred_at: datetime
    event: Event
    problem: Problem | None = None


class _Mapped(NamedTuple):
    """A row that was read; `label` follows it when its time has come."""

    step: Step
    label: Step | None = None


def steps(plan: ReplayPlan, source: Source) -> Iterator[Step]:
    """Yield everything that is to be sent, always the same for the same plan and file.

    Raises:
        ReplayError: the file is not sorted by event time, or cannot be read.
    """
    mapped_rows = _mapped_rows(plan, source)
    ordered = sorted(mapped_rows, key=lambda row: row.step.occurred_at) if plan.sort else _in_order(plan, mapped_rows)
    pending: deque[Step] = deque()  # labels; all wait equally long, so they fall due in the order they came
    for mapped in ordered:
        while pending and pending[0].occurred_at <= mapped.step.occurred_at:
            yield pending.popleft()
        yield mapped.step
        if mapped.label is not None:
            pending.append(mapped.label)
    if plan.labels_after_end:
        yield from pending


def _mapped_rows(plan: ReplayPlan, source: Source) -> Iterator[_Mapped]:
    mapping = RowMapping(plan, source.columns)
    occurred_at = datetime.min.replace(tzinfo=UTC)
    for number, row in enumerate(source.rows(mapping.columns), start=1):
        if isinstance(row, RowError):
            yield _Mapped(Step(number, plan.topic, occurred_at, {}, row.problem))
            continue
        try:
            occurred_at = mapping.occurred_at(row)
            if _in_range(plan, occurred_at):
                yield _mapped(plan, mapping, number, row, occurred_at)
        except RowError as error:
            yield _Mapped(Step(number, plan.topic, occurred_at, dict(row), error.problem))


def _in_range(plan: ReplayPlan, occurred_at: datetime) -> bool:
    return (plan.since is None or plan.since <= occurred_at) and (plan.until is None or occurred_at < plan.until)


def _mapped(plan: ReplayPlan, mapping: RowMapping, number: int, row: Row, occurred_at: datetime) -> _Mapped:
    event = mapping.event(row, occurred_at)
    step = Step(number, plan.topic, occurred_at, event)
    if plan.fraud_column is None:
        return _Mapped(step)
    fraud = mapping.is_fraud(row)
    label = {
        "transaction_id": event.get("transaction_id"),
        "card_id": event.get("card_id"),
        "label": "fraud" if fraud else "genuine",
        "source": "chargeback" if fraud else "review",
        "occurred_at": occurred_at + plan.label_delay,
    }
    return _Mapped(step, Step(number, LABELS.name, occurred_at + plan.label_delay, label))


def _in_order(plan: ReplayPlan, rows: Iterator[_Mapped]) -> Iterator[_Mapped]:
    newest: Step | None = None
    for mapped in rows:
        step = mapped.step
        if newest is not None and step.occurred_at < newest.occurred_at:
            raise ReplayError(
                f"{plan.file} is not sorted by event time: row {step.row} ({step.occurred_at.isoformat()}) is older "
                f"than row {newest.row} ({newest.occurred_at.isoformat()}); sort the file, or let --sort read all of "
                "it into memory first"
            )
        newest = step
        yield mapped
