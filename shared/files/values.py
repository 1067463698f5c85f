"""Cells of a file to values of an event."""

import math
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from msgspec import inspect

Convert = Callable[[Any], Any]

_DIGITS_MAX = 30

# ISO 4217 currencies whose minor unit is not a hundredth.
_NO_MINOR_UNIT = frozenset("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split())  # noqa: SIM905 - read as a line
_THOUSANDTHS = frozenset("BHD IQD JOD KWD LYD OMN TND".split())  # noqa: SIM905


class CellError(Exception):
    """A cell cannot be what its field needs."""


def instant(value: Any) -> datetime:
    """Return a time in UTC; one without an offset is taken as UTC."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise CellError(f"{value!r} is not a time such as 2026-01-31T09:30:00Z") from None
    if not isinstance(value, datetime):
        raise CellError(f"{value!r} is a {type(value).__name__}, not a time; convert the column to timestamps first")
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise CellError(f"{value!r} is out of range") from None


def minor_units(value: Any, currency: str) -> int:
    """Return an amount in major units as an integer in minor units of `currency`, rounded half to even."""
    try:
        digits = 0 if currency in _NO_MINOR_UNIT else 3 if currency in _THOUSANDTHS else 2
        amount = Decimal(str(value)).scaleb(digits)
        return int(amount.quantize(Decimal(1), ROUND_HALF_EVEN))
    except (ArithmeticError, ValueError):
        raise CellError(f"{value!r} is not an amount") from None


def is_fraud(value: Any) -> bool:
    """Read a fraud flag: 1/0, true/false, yes/no, fraud/genuine."""
    flag = _flag(value, yes="fraud", no="genuine")
    if flag is None:
        raise CellError(f"{value!r} is not a fraud flag; 1 and 0, true and false, fraud and genuine are")
    return flag


def is_empty(value: Any) -> bool:
    """Tell whether a cell holds nothing: the field is then left out."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def converter(field_type: inspect.Type) -> Convert:
    """Return the function that makes a cell fit a field of `field_type`."""
    bare = _without_wrapping(field_type)
    match bare:
        case inspect.LiteralType(values=(int(), *_)):
            return _integer
        case inspect.StrType(pattern="^[0-9]{4}$"):
            # A merchant category code that was read as a number has lost its leading zeros.
            return lambda value: _text(value).zfill(4)
        case _:
            return _CONVERTERS.get(type(bare), _text)


def _without_wrapping(field_type: inspect.Type) -> inspect.Type:
    match field_type:
        case inspect.UnionType(types=types):
            return _without_wrapping(next(option for option in types if not isinstance(option, inspect.NoneType)))
        case inspect.Metadata(type=inner):
            return _without_wrapping(inner)
        case _:
            return field_type


def attribute(value: Any) -> float | str:
    """Return a number where the cell is one or reads as one, else its text."""
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return value
        return number if math.isfinite(number) else value
    return float(value) if isinstance(value, int | float) else _text(value)


def _attributes(value: Any) -> Any:
    if not isinstance(value, dict):
        raise CellError(f"{value!r} is not an object; map single columns with attributes.NAME=COLUMN")
    return {name: inner for name, inner in value.items() if inner is not None}


def _texts(value: Any) -> list[str]:
    """Return a list of texts, from one or from a text in which `|` stands between them."""
    several = value.split("|") if isinstance(value, str) else value
    if not isinstance(several, list):
        raise CellError(f"{value!r} is not a list; write one as one|two|three")
    return [_text(text).strip() for text in several]


def _truth(value: Any) -> bool:
    truth = _flag(value, yes="y", no="n")
    if truth is None:
        raise CellError(f"{value!r} is neither true nor false; 1 and 0, yes and no are understood as well")
    return truth


def _flag(value: Any, *, yes: str, no: str) -> bool | None:
    text = _text(value).lower()
    if text in {"1", "true", "yes", yes}:
        return True
    return False if text in {"0", "false", "no", no} else None


def _integer(value: Any) -> int:
    try:
        number = Decimal(str(value))
        # What is far too large for any field would take its digits' worth of memory.
        if number.adjusted() > _DIGITS_MAX or number != number.to_integral_value():
            raise CellError(f"{value!r} is not a whole number of at most {_DIGITS_MAX} digits")
        return int(number)
    except (ArithmeticError, ValueError):
        raise CellError(f"{value!r} is not a whole number") from None


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        # An identifier column with gaps comes as floating point from most tools.
        return str(int(value))
    return str(value)


_CONVERTERS: dict[type[inspect.Type], Convert] = {
    inspect.DateTimeType: instant,
    inspect.IntType: _integer,
    inspect.BoolType: _truth,
    inspect.DictType: _attributes,
    inspect.ListType: _texts,
}
