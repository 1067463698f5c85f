"""Rows of a file to events."""

from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from shared.files.event_file import TOPICS, EventFile, FileError
from shared.files.values import (
    CellError,
    Convert,
    attribute,
    converter,
    instant,
    is_empty,
    is_fraud,
    minor_units,
)
from shared.intake.problems import Problem

Row = Mapping[str, Any]
Event = dict[str, Any]
T = TypeVar("T")

_ATTRIBUTE_PREFIX = "attributes."
_FILLED_IN = frozenset({"event_id", "trace_id"})


class RowError(Exception):
    """A row cannot become an event."""

    def __init__(self, code: str, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.problem = Problem(code=code, message=message, field=field)


class RowMapping:
    """A file's columns and constants, checked against the columns that it has."""

    def __init__(self, file: EventFile, columns: Collection[str] | None) -> None:
        """Work out which column makes which field.

        columns: that the file has; None where every row has its own.

        Raises:
            FileError: a field or a column does not exist, or a required field has no source.
        """
        self._converters = _converters(file)
        named = {name: name for name in self._converters if columns is None or name in columns}
        attributes = {name: name for name in columns or () if name.startswith(_ATTRIBUTE_PREFIX)}
        sources = named | attributes | file.columns
        self._sources = {name: column for name, column in sources.items() if name not in file.constants}
        self._fraud_column = file.fraud_column
        self._undated_at = file.undated_at
        self._major = file.topic == "transactions" and file.amount_unit == "major"
        _check(file, self._sources, columns, known=self._converters)
        self._constants = {name: self._converted(name, text) for name, text in file.constants.items()}

    @property
    def columns(self) -> list[str]:
        """Columns that are read."""
        used = [*self._sources.values(), self._fraud_column]
        return list(dict.fromkeys(column for column in used if column is not None))

    def occurred_at(self, row: Row) -> datetime:
        """Return the row's event time, in UTC; raises RowError."""
        value = self._constants.get("occurred_at") or row.get(self._sources.get("occurred_at", ""))
        if is_empty(value) and self._undated_at is not None:
            return self._undated_at.astimezone(UTC)
        if is_empty(value):
            raise RowError("missing_field", "the row has no event time", field="occurred_at")
        return self._cell(instant, value, "occurred_at")

    def is_fraud(self, row: Row) -> bool:
        """Return the row's fraud flag; raises RowError."""
        column = self._fraud_column or ""
        return self._cell(is_fraud, row.get(column), column)

    def event(self, row: Row, occurred_at: datetime) -> Event:
        """Return the row as an event, empty cells left out; raises RowError."""
        flat = dict(self._constants)
        for name, column in self._sources.items():
            value = row.get(column)
            if name != "occurred_at" and not is_empty(value):
                flat[name] = self._converted(name, value)
        if self._major and "amount" in flat:
            currency = flat.get("currency", "")
            flat["amount"] = self._cell(lambda amount: minor_units(amount, currency), flat["amount"], "amount")
        return _nested(flat) | {"occurred_at": occurred_at}

    def _converted(self, name: str, value: Any) -> Any:
        return self._cell(self._converters.get(name, attribute), value, name)

    @staticmethod
    def _cell(convert: Callable[[Any], T], value: Any, name: str) -> T:
        try:
            return convert(value)
        except CellError as error:
            raise RowError("invalid_field", str(error), field=name) from error


def _converters(file: EventFile) -> dict[str, Convert]:
    described = msgspec.inspect.type_info(TOPICS[file.topic].event)
    assert isinstance(described, msgspec.inspect.StructType)  # noqa: S101 - every event is a Struct
    converters = {field.name: converter(field.type) for field in described.fields}
    if "amount" in converters and file.amount_unit == "major":
        converters["amount"] = lambda amount: amount  # made minor once the row's currency is known
    return converters


def _check(
    file: EventFile, sources: dict[str, str], columns: Collection[str] | None, *, known: Collection[str]
) -> None:
    for name in (*file.columns, *file.constants):
        if name not in known and not name.startswith(_ATTRIBUTE_PREFIX):
            raise FileError(f"{file.topic} have no field {name!r}; they have: {', '.join(known)}, attributes.NAME")
    if columns is None:
        return
    wanted = (*sources.values(), *filter(None, [file.fraud_column]))
    if absent := [column for column in wanted if column not in columns]:
        raise FileError(f"{file.file.name} has no column {absent[0]!r}; it has: {', '.join(columns)}")
    required = {field.name for field in msgspec.structs.fields(TOPICS[file.topic].event) if field.required}
    filled_in = _FILLED_IN if file.undated_at is None else _FILLED_IN | {"occurred_at"}
    if missing := sorted(required - filled_in - sources.keys() - file.constants.keys()):
        raise FileError(
            f"nothing makes {', '.join(missing)}: name a column (map {missing[0]}=COLUMN) or give a value for "
            f"every row (set {missing[0]}=VALUE); {file.file.name} has: {', '.join(columns)}"
        )


def _nested(flat: Event) -> Event:
    event: Event = {}
    attributes: Event = dict(flat.pop("attributes", {}))
    for name, value in flat.items():
        if name.startswith(_ATTRIBUTE_PREFIX):
            attributes[name.removeprefix(_ATTRIBUTE_PREFIX)] = value
        else:
            event[name] = value
    return event | {"attributes": attributes} if attributes else event
