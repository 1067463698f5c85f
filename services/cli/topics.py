"""`headrace topics`: the topic table, what each topic holds, and what was rejected."""

import contextlib
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from services.cli.terminal import HOME, Home, console, open_bus, plain_table
from services.local.errors import PlatformError
from services.local.inspection import TopicSize, dead_letter_counts, newest_dead_letters, topic_sizes
from shared.bus.base import Bus, BusUnavailableError
from shared.contracts.topics import BY_NAME, DEAD_LETTER_SUFFIX, TOPICS

_SHOWN_CHARACTERS_MAX = 200


def topics(
    home: Home = HOME,
    *,
    create: Annotated[bool, typer.Option("--create", help="Create the topics that are missing.")] = False,
    dead_letters: Annotated[
        str | None, typer.Option(metavar="TOPIC", help="Show the newest rejected records of this topic, and why.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many rejected records to show.")] = 10,
) -> None:
    """Show what travels where: who writes a topic and who reads it; with a broker also what each holds."""
    if dead_letters is not None:
        with contextlib.closing(open_bus(home)) as bus:
            _show_dead_letters(bus, dead_letters.removesuffix(DEAD_LETTER_SUFFIX), count)
        return
    if create:
        with contextlib.closing(open_bus(home)) as bus:
            bus.create_topics(TOPICS)
    try:
        with contextlib.closing(open_bus(home)) as bus:
            console.print(_table(topic_sizes(bus), dead_letter_counts(bus)))
        console.print(
            "[dim]parts: partitions; records: a transaction's marker counts as one; rejected: see --dead-letters[/]"
        )
    except (PlatformError, BusUnavailableError) as error:
        if create:
            raise
        console.print(_table([TopicSize(topic, None, None) for topic in TOPICS], {}))
        console.print(f"[dim]without live counts: {escape(str(error))}[/]")


def _table(sizes: list[TopicSize], rejected: dict[str, int]) -> Table:
    table = plain_table("topic", "written by", "read by", "parts", "records", "rejected")
    for topic, partitions, records in sizes:
        numbers = (partitions, records, rejected.get(topic.dead_letter_name))
        table.add_row(
            topic.name,
            ", ".join(topic.written_by),
            ", ".join(topic.read_by),
            *("" if number is None else str(number) for number in numbers),
        )
    return table


def _show_dead_letters(bus: Bus, name: str, count: int) -> None:
    topic = BY_NAME.get(name)
    if topic is None or not topic.read_by:
        read = ", ".join(topic.name for topic in TOPICS if topic.read_by)
        raise PlatformError(f"no dead letters are kept for {name!r}; choose one of: {read}")
    letters = newest_dead_letters(bus, topic, count_max=count)
    if not letters:
        console.print(f"no record of {name} was rejected")
    for letter in letters:
        place = f"{letter.topic}/{letter.partition}/{letter.offset}"
        console.print(f"[bold]{place}[/] rejected by {letter.service} at {letter.occurred_at:%Y-%m-%d %H:%M:%S}Z")
        console.print(f"  [red]{letter.error}[/]: {escape(letter.explanation)}")
        value = (letter.value or b"")[:_SHOWN_CHARACTERS_MAX].decode(errors="replace")
        console.print(f"  [dim]{escape(value)} ({letter.value_bytes_total} bytes)[/]")
