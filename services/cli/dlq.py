"""`headrace dlq`: what was rejected and why, and sending it back once the cause is mended."""

import contextlib
import getpass
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from services.cli.event_files import duration
from services.cli.terminal import HOME, Home, console, open_bus, plain_table
from services.local.dead_letters import (
    Rejections,
    Selection,
    Shown,
    newest_letters,
    read_topic,
    rejections,
    trace_of,
)
from services.local.discovery import discover
from services.local.redriving import Patience, Plan, Redriven, Refusal, Verdict, plan, verdict
from services.local.redriving import redrive as send_back
from shared.bus.base import Bus
from shared.bus.kafka.inspection import inspect_groups
from shared.contracts.topics import Topic
from shared.runtime.clock import SystemClock

dlq = typer.Typer(
    name="dlq",
    help="Rejected records (dead letters): what they are, why, and sending them back once the cause is mended.",
    no_args_is_help=True,
)

_SHOWN_BYTES_MAX = 2_000
_OFFSETS_SHOWN_MAX = 5

_Topic = Annotated[str, typer.Argument(metavar="TOPIC", help="As `headrace dlq list` names it.")]
_Reason = Annotated[str | None, typer.Option("--reason", metavar="CODE", help="Only what was rejected for this.")]
_Offsets = Annotated[
    list[int] | None,
    typer.Option("--offset", min=0, help="Only the dead letter that stands there on its own topic; repeatable."),
]
_Since = Annotated[
    timedelta | None,
    typer.Option("--since", parser=duration, metavar="DURATION", help="Only what was rejected in the last 12h or 30d."),
]


@dlq.command("list")
def list_(home: Home = HOME) -> None:
    """Show what was rejected of each topic, for which reasons, when, and how much of it waits to be sent back."""
    with contextlib.closing(open_bus(home)) as bus:
        found = rejections(bus)
    table = plain_table("topic", "reason", "waiting", "sent back", "oldest", "newest")
    for of_topic in found:
        for reason in of_topic.reasons:
            times = (f"{at:%Y-%m-%d %H:%M:%S}Z" for at in (reason.oldest, reason.newest))
            counts = (str(reason.waiting), str(reason.redriven))
            table.add_row(of_topic.topic.name, escape(reason.error), *counts, *times)
    console.print(table if table.row_count else "nothing was rejected")
    _say_unreadable(found)


@dlq.command()
def show(  # noqa: PLR0913 - a command line
    topic: _Topic,
    home: Home = HOME,
    *,
    reason: _Reason = None,
    since: _Since = None,
    offset: _Offsets = None,
    count: Annotated[int, typer.Option(min=1, help="How many to show, the newest.")] = 10,
    raw: Annotated[bool, typer.Option("--raw", help="Print the records' bytes alone, each with a line feed.")] = False,
) -> None:
    """Show rejected records: where each came from, why it was rejected, its trace, and what it says."""
    source = read_topic(topic)
    with contextlib.closing(open_bus(home)) as bus:
        found = newest_letters(bus, source, _selection(reason, since, offset), count_max=count)
    if raw:
        for shown in found:
            sys.stdout.buffer.write((shown.letter.event.value or b"") + b"\n")
        return
    for shown in found:
        _print(shown)
    if not found:
        console.print(f"no such record of {source.name} was rejected")


@dlq.command()
def redrive(  # noqa: PLR0913 - a command line
    topic: _Topic,
    home: Home = HOME,
    *,
    reason: _Reason = None,
    since: _Since = None,
    offset: _Offsets = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    by: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who decided it; by default the user logged in.")
    ] = None,
    wait: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="Longest wait for the services' verdict.")] = 15,
) -> None:
    """Send rejected records back to their topic, as they were; each goes back once, however often this is asked.

    Exits with status 1 when some cannot be sent, or were rejected again.
    """
    source = read_topic(topic)
    selection = _selection(reason, since, offset)
    with contextlib.closing(open_bus(home)) as bus:
        planned = plan(bus, source, selection)
        _say_plan(source, planned)
        if dry_run or not planned.offsets:
            raise typer.Exit(1 if planned.refused else 0)
        if not yes:
            typer.confirm(f"Send {len(planned.offsets)} back to {source.name}?", abort=True)
        done = send_back(bus, source, selection, actor=by or getpass.getuser(), clock=SystemClock())
        console.print(f"{done.sent} sent back to {source.name}")
        seen = _verdict(bus, source, done, home, wait)
    _say_verdict(seen)
    raise typer.Exit(1 if done.refused or seen.rejected_again else 0)


def _selection(reason: str | None, since: timedelta | None, offsets: Sequence[int] | None) -> Selection:
    oldest = None if since is None else SystemClock().now() - since
    return Selection(error=reason, offsets=frozenset(offsets or ()), since=oldest)


def _say_unreadable(found: Sequence[Rejections]) -> None:
    for of_topic in found:
        if of_topic.unreadable:
            name = of_topic.topic.dead_letter_name
            console.print(
                f"[yellow]{name} also holds {of_topic.unreadable} record(s) that are no dead letters of it[/]"
            )


def _print(shown: Shown) -> None:
    record, event = shown.letter
    place = f"{event.topic}/{event.partition}/{event.offset}"
    state = "[green]sent back[/]" if shown.is_redriven else "waiting"
    rejected = f"rejected by {escape(event.service)} at {event.occurred_at:%Y-%m-%d %H:%M:%S}Z"
    console.print(f"[bold]{escape(place)}[/] {rejected}, dead letter {record.offset}, {state}", soft_wrap=True)
    console.print(f"  [red]{escape(event.error)}[/]: {escape(event.explanation)}", soft_wrap=True)
    key = "none" if event.key is None else _told(event.key)
    console.print(f"  [dim]key {escape(key)}, trace {trace_of(shown.letter)}[/]", soft_wrap=True)
    for line in _pretty(event.value, event.value_bytes_total).splitlines():
        console.print(f"    {line}", markup=False, soft_wrap=True)


def _pretty(value: bytes | None, bytes_total: int) -> str:
    """Return a record's value for people: JSON over several lines, what is long cut."""
    if value is None:
        return "(no value)"
    try:
        text = msgspec.json.format(value, indent=2)
    except msgspec.DecodeError:
        text = value
    if len(text) <= _SHOWN_BYTES_MAX and len(value) == bytes_total:
        return _told(text)
    return f"{_told(text[:_SHOWN_BYTES_MAX])}\n(cut here; the record has {bytes_total} bytes)"


def _told(text: bytes) -> str:
    """Return `text` with every character that a terminal would obey replaced, line feeds apart."""
    decoded = text.decode(errors="replace")
    return "".join(
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in decoded
    )


def _say_plan(topic: Topic, planned: Plan) -> None:
    console.print(f"{len(planned.offsets)} record(s) can be sent back to {topic.name}")
    if planned.redriven_before:
        console.print(f"{planned.redriven_before} were sent back before, and are left alone")
    by_explanation: dict[str, list[Refusal]] = defaultdict(list)
    for refusal in planned.refused:
        by_explanation[refusal.explanation].append(refusal)
    for explanation, refused in by_explanation.items():
        shown = ", ".join(str(refusal.offset) for refusal in refused[:_OFFSETS_SHOWN_MAX])
        more = ", ..." if len(refused) > _OFFSETS_SHOWN_MAX else ""
        console.print(f"[yellow]{len(refused)} cannot be sent: {explanation}[/] (dead letters {shown}{more})")


def _verdict(bus: Bus, topic: Topic, done: Redriven, home: Path, seconds_max: float) -> Verdict:
    reading = [
        group.name
        for group in inspect_groups(discover(home).kafka or "")
        if topic.name in group.topics and group.name.startswith("headrace-")
    ]
    waited_seconds = seconds_max if reading else 0.0
    return verdict(bus, topic, done, Patience(reading, waited_seconds, SystemClock(), time.sleep))


def _say_verdict(seen: Verdict) -> None:
    for error, count in seen.rejected_again.items():
        console.print(f"[red]{count} rejected again: {escape(error)}[/]")
    if not seen.is_final:
        console.print("not every service has read them yet; see `headrace dlq list` for what is rejected again")
    elif not seen.rejected_again:
        console.print("every service has read them; none was rejected again")
