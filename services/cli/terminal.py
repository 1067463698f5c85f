"""What every command shares: where the home is, how lines are printed, which errors are operational."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from services.local.addresses import Addresses, shown_addresses
from services.local.discovery import discover
from services.local.errors import PlatformError
from shared.bus.base import Bus
from shared.bus.kafka import KafkaBus
from shared.runtime.settings import DEFAULT_HOME, ServiceSettings

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

Home = Annotated[Path, typer.Option("--home", envvar="HEADRACE_HOME", help="Folder of data, models, archive and logs.")]
HOME = DEFAULT_HOME


def say(line: str) -> None:
    """Print one line about a step."""
    console.print(f"  {escape(line)}")


def plain_table(*columns: str) -> Table:
    """Return a table without a frame, to be filled and printed."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for place, column in enumerate(columns):
        table.add_column(column, no_wrap=place == 0)
    return table


def progress_bar() -> Progress:
    """Return a bar on standard error, whose tasks have a field `told`: what to say beside the share that is done."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[told]}", markup=False),
        TimeElapsedColumn(),
        console=errors,
    )


def address_table(addresses: Addresses) -> Table:
    """Return every address, one a row."""
    table = plain_table("what", "address")
    for name, address in shown_addresses(addresses):
        table.add_row(name, address)
    return table


def open_bus(home: Path) -> Bus:
    """Return the event log of the running platform.

    Raises:
        PlatformError: there is none to reach from another process.
    """
    kafka = discover(home).kafka
    if kafka is None:
        raise PlatformError(
            "this platform's event log lives in the memory of `headrace up`; it cannot be read from here"
        )
    return KafkaBus(kafka, partitions=ServiceSettings().headrace_topic_partitions)
