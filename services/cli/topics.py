"""`headrace topics`: the topic table, and what each topic holds."""

import contextlib
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from services.cli.terminal import HOME, Home, console, open_bus, plain_table
from services.local.dead_letters import waiting_counts
from services.local.errors import PlatformError
from services.local.inspection import TopicSize, topic_sizes
from shared.bus.base import BusUnavailableError
from shared.contracts.topics import TOPICS


def topics(
    home: Home = HOME,
    *,
    create: Annotated[bool, typer.Option("--create", help="Create the topics that are missing.")] = False,
) -> None:
    """Show what travels where: who writes a topic and who reads it; with a broker also what each holds."""
    if create:
        with contextlib.closing(open_bus(home)) as bus:
            bus.create_topics(TOPICS)
    try:
        with contextlib.closing(open_bus(home)) as bus:
            console.print(_table(topic_sizes(bus), waiting_counts(bus)))
        console.print(
            "[dim]parts: partitions; records: a transaction's marker counts as one; rejected: see `headrace dlq`[/]"
        )
    except (PlatformError, BusUnavailableError) as error:
        if create:
            raise
        console.print(_table([TopicSize(topic, None, None) for topic in TOPICS], {}))
        console.print(f"[dim]without live counts: {escape(str(error))}[/]")


def _table(sizes: list[TopicSize], rejected: dict[str, int]) -> Table:
    table = plain_table("topic", "written by", "read by", "parts", "records", "rejected")
    for topic, partitions, records in sizes:
        numbers = (partitions, records, rejected.get(topic.name))
        table.add_row(
            topic.name,
            ", ".join(topic.written_by),
            ", ".join(topic.read_by),
            *("" if number is None else str(number) for number in numbers),
        )
    return table
