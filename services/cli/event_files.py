"""The options that say how a file's rows make events, for every command that reads one."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from shared.files.values import CellError, instant

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class AmountUnit(StrEnum):
    """What a column of amounts may count."""

    MINOR = "minor"
    MAJOR = "major"


def duration(text: str) -> timedelta:
    """Return a duration such as 12h; raises BadParameter."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhdw])", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a duration such as 90s, 30m, 12h, 7d or 2w")
    return timedelta(**{_UNITS[match[2]]: float(match[1])})


def pairs(option: str, entries: Sequence[str]) -> dict[str, str]:
    """Return the entries of a repeatable option, FIELD=...; raises BadParameter."""
    found: dict[str, str] = {}
    for entry in entries:
        name, equals, value = entry.partition("=")
        if not (name and equals and value):
            raise typer.BadParameter(f"{option} {entry!r} is not of the form FIELD=...")
        if name in found:
            raise typer.BadParameter(f"{option} names {name} twice")
        found[name] = value
    return found


def _instant(text: str) -> datetime:
    try:
        return instant(text)
    except CellError as error:
        raise typer.BadParameter(str(error)) from error


File = Annotated[Path, typer.Argument(help="CSV, JSON Lines (.jsonl, .ndjson) or Parquet, sorted by event time.")]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="FIELD=COLUMN",
        help="Event field from column; repeatable. attributes.NAME=COLUMN makes an attribute. "
        "Columns that are named as fields, or attributes.NAME, need none.",
    ),
]
Constants = Annotated[
    list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="The same value for every row; repeatable.")
]
Unit = Annotated[AmountUnit, typer.Option(help="Whether 19.99 EUR stands as 1999 (minor) or 19.99 (major).")]
Since = Annotated[
    datetime | None,
    typer.Option("--from", parser=_instant, metavar="TIME", help="First event time; UTC unless it says otherwise."),
]
Until = Annotated[
    datetime | None, typer.Option("--to", parser=_instant, metavar="TIME", help="Event time to stop before.")
]
FraudColumn = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Tell a label for every payment too, from this 0/1 column.")
]
Delay = Annotated[
    str, typer.Option(metavar="DURATION", help="How long after its payment a label becomes known: 12h, 7d, 2w.")
]
Sort = Annotated[bool, typer.Option("--sort", help="Read the whole file into memory and sort it first.")]
