"""A file's events and the labels that follow them, in event-time order."""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from shared.contracts.topics import LABELS
from shared.files.event_file import EventFile, FileError
from shared.files.mapping import Event, Row, RowError, RowMapping
from shared.files.sources import Source
from shared.intake.problems import Problem


class Step(NamedTuple):
    """One event, or (with `problem`) one row that makes none.

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


def steps(file: EventFile, source: Source) -> Iterator[Step]:
    """Yield everything, always the same for the same file.

    Raises:
        FileError: the file is not sorted by event time, or cannot be read.
    """
    mapped_rows = _mapped_rows(file, source)
    ordered = sorted(mapped_rows, key=lambda row: row.step.occurred_at) if file.sort else _in_order(file, mapped_rows)
    pending: deque[Step] = deque()  # labels; all wait equally long, so they fall due in the order they came
    for mapped in ordered:
        while pending and pending[0].occurred_at <= mapped.step.occurred_at:
            yield pending.popleft()
        yield mapped.step
        if mapped.label is not None:
            pending.append(mapped.label)
    if file.labels_after_end:
        yield from pending


def _mapped_rows(file: EventFile, source: Source) -> Iterator[_Mapped]:
    mapping = RowMapping(file, source.columns)
    occurred_at = datetime.min.replace(tzinfo=UTC)
    for number, row in enumerate(source.rows(mapping.columns), start=1):
        if isinstance(row, RowError):
            yield _Mapped(Step(number, file.topic, occurred_at, {}, row.problem))
            continue
        try:
            occurred_at = mapping.occurred_at(row)
            if _in_range(file, occurred_at):
                yield _mapped(file, mapping, number, row, occurred_at)
        except RowError as error:
            yield _Mapped(Step(number, file.topic, occurred_at, dict(row), error.problem))


def _in_range(file: EventFile, occurred_at: datetime) -> bool:
    return (file.since is None or file.since <= occurred_at) and (file.until is None or occurred_at < file.until)


def _mapped(file: EventFile, mapping: RowMapping, number: int, row: Row, occurred_at: datetime) -> _Mapped:
    event = mapping.event(row, occurred_at)
    step = Step(number, file.topic, occurred_at, event)
    if file.fraud_column is None:
        return _Mapped(step)
    fraud = mapping.is_fraud(row)
    label = {
        "transaction_id": event.get("transaction_id"),
        "card_id": event.get("card_id"),
        "label": "fraud" if fraud else "genuine",
        "source": "chargeback" if fraud else "review",
        "occurred_at": occurred_at + file.label_delay,
    }
    return _Mapped(step, Step(number, LABELS.name, occurred_at + file.label_delay, label))


def _in_order(file: EventFile, rows: Iterator[_Mapped]) -> Iterator[_Mapped]:
    newest: Step | None = None
    for mapped in rows:
        step = mapped.step
        if newest is not None and step.occurred_at < newest.occurred_at:
            raise FileError(
                f"{file.file.name} is not sorted by event time: row {step.row} ({step.occurred_at.isoformat()}) is "
                f"older than row {newest.row} ({newest.occurred_at.isoformat()}); sort the file, or have it sorted in "
                "memory first (sort)"
            )
        newest = step
        yield mapped
