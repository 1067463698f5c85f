"""`headrace lists`: who is let through or stopped, whatever the score says."""

import contextlib
import getpass
from datetime import timedelta
from typing import Annotated

import typer

from services.cli.event_files import duration
from services.cli.terminal import HOME, Home, console, open_bus, plain_table
from services.scoring.policy.lists import Entries
from shared.bus.base import Bus, Outgoing
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import ListedEntity, ListEvent, ListName
from shared.contracts.ids import new_event_id, new_trace_id
from shared.contracts.topics import LISTS
from shared.runtime.clock import SystemClock

lists = typer.Typer(
    name="lists",
    help="Cards, merchants, devices and users that are let through or stopped; scoring takes changes up at once.",
    no_args_is_help=True,
)

_POLL_SECONDS = 0.2

_Name = Annotated[ListName, typer.Argument(metavar="LIST", help="allow or block.")]
_Entity = Annotated[ListedEntity, typer.Argument(metavar="ENTITY", help="card, merchant, device or user.")]
_Value = Annotated[str, typer.Argument(metavar="ID", help="As payments carry it.")]
_Reason = Annotated[str, typer.Option(help="Why; kept with the event.")]
_By = Annotated[str | None, typer.Option(metavar="NAME", help="Who decided it; by default the user logged in.")]


@lists.command()
def add(  # noqa: PLR0913 - a command line
    name: _Name,
    entity: _Entity,
    value: _Value,
    home: Home = HOME,
    *,
    reason: _Reason,
    lasting: Annotated[
        timedelta | None,
        typer.Option("--for", parser=duration, metavar="DURATION", help="How long, as 12h or 30d; else for good."),
    ] = None,
    by: _By = None,
) -> None:
    """Put a card, merchant, device or user on a list; an entry that is there already is replaced."""
    now = SystemClock().now()
    event = ListEvent(
        event_id=new_event_id(now),
        occurred_at=now,
        trace_id=new_trace_id(),
        list_name=name,
        entity=entity,
        value=value,
        action="added",
        expires_at=None if lasting is None else now + lasting,
        actor=by or getpass.getuser(),
        reason=reason,
    )
    with contextlib.closing(open_bus(home)) as bus:
        _publish(bus, event)
    until = "for good" if event.expires_at is None else f"until {event.expires_at:%Y-%m-%d %H:%M} UTC"
    console.print(f"{entity} {value} is on the {name} list {until}.", markup=False, soft_wrap=True)


@lists.command()
def remove(name: _Name, entity: _Entity, value: _Value, home: Home = HOME, *, reason: _Reason, by: _By = None) -> None:
    """Take a card, merchant, device or user off a list."""
    now = SystemClock().now()
    with contextlib.closing(open_bus(home)) as bus:
        there = [e for e in _entries(bus).standing(now) if (e.list_name, e.entity, e.value) == (name, entity, value)]
        if not there:
            raise typer.BadParameter(f"{entity} {value} is not on the {name} list; see `headrace lists show`")
        event = ListEvent(
            event_id=new_event_id(now),
            occurred_at=now,
            trace_id=new_trace_id(),
            list_name=name,
            entity=entity,
            value=value,
            action="removed",
            actor=by or getpass.getuser(),
            reason=reason,
        )
        _publish(bus, event)
    console.print(f"{entity} {value} is off the {name} list.", markup=False, soft_wrap=True)


@lists.command()
def show(
    home: Home = HOME,
    *,
    entity: Annotated[ListedEntity | None, typer.Option(help="Only card, merchant, device or user.")] = None,
) -> None:
    """Show every entry that stands now."""
    with contextlib.closing(open_bus(home)) as bus:
        entries = _entries(bus).standing(SystemClock().now())
    table = plain_table("list", "entity", "id", "since", "until", "by", "reason")
    for event in entries:
        if entity in (None, event.entity):
            until = "" if event.expires_at is None else f"{event.expires_at:%Y-%m-%d %H:%M}"
            since = f"{event.occurred_at:%Y-%m-%d %H:%M}"
            table.add_row(event.list_name, event.entity, event.value, since, until, event.actor, event.reason)
    console.print(table if table.row_count else "no entries: see `headrace lists add`")


def _entries(bus: Bus) -> Entries:
    entries = Entries()
    with contextlib.closing(bus.tail([LISTS.name], start="oldest")) as tail:
        while not tail.caught_up():
            for record in tail.poll(wait_seconds=_POLL_SECONDS):
                # A record that cannot be read is none of ours; scoring counts it.
                with contextlib.suppress(BadRecordError):
                    entries.apply(codec.decode(ListEvent, record.value or b""))
    return entries


def _publish(bus: Bus, event: ListEvent) -> None:
    """Announce the event; raises BadRecordError where its reader would refuse it."""
    value = codec.encode(event)
    codec.decode(ListEvent, value)
    with contextlib.closing(bus.publisher()) as publisher:
        publisher.send(Outgoing(LISTS.name, LISTS.key_of(event).encode(), value)).result()
