"""`headrace audit`: whether what was announced about models is whole, and the files are what was announced."""

import contextlib
from collections.abc import Iterator
from typing import Annotated

import typer

from services.cli.terminal import HOME, Home, console, errors, open_bus
from services.training.model_log import ModelLog
from shared.contracts.events import ModelEvent
from shared.contracts.topics import MODELS
from shared.models.audit import Audit, examine
from shared.models.packages import Packages

audit = typer.Typer(name="audit", help="Whether the record of models is whole.", no_args_is_help=True)


@audit.callback()
def _group() -> None:
    """Keep `audit` a group, however few commands it has."""


@audit.command()
def verify(
    home: Home = HOME,
    *,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="DIGEST", help="The head that an earlier run printed: proves that all up to it is still there."
        ),
    ] = None,
) -> None:
    """Check every record on `models`, and the files of every registered version that is on this machine.

    Each record names the SHA-256 of the one before it, so nothing can be changed, removed or slipped in without a
    trace. What was cut off at the end shows only against a head noted earlier, so keep the one that is printed
    somewhere else. Exits with status 1 when something does not hold.
    """
    with contextlib.closing(open_bus(home)) as bus:
        values = [record.value for record in ModelLog(bus).records()]
    found = examine(values, Packages(home / "models"), earlier_head=None if head is None else head.lower())
    for what, told in [("records", str(len(values))), *_rows(found)]:
        # Not a table: a digest that was wrapped could not be copied.
        console.print(f"{what:<22}{told}", markup=False, soft_wrap=True)
    for problem in found.problems:
        errors.print(problem, style="red", markup=False, soft_wrap=True)
    if found.problems:
        raise typer.Exit(1)
    console.print(f"{MODELS.name} is whole.")


def _rows(found: Audit) -> Iterator[tuple[str, str]]:
    if found.events:
        yield "first", _told(found.events[0])
        yield "last", _told(found.events[-1])
    yield "head", found.head or "none"
    if found.behind_head is not None:
        yield "after the head given", str(found.behind_head)
    yield "versions whole", f"{found.whole} on this machine, {found.absent} not here"


def _told(event: ModelEvent) -> str:
    what = f"{event.action} {event.model_name} {event.model_version} by {event.actor}"
    return f"{event.occurred_at:%Y-%m-%d %H:%M:%S}Z, {what}"
