"""`headrace status`: is everything ready, does anything wait, which model decides."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.markup import escape
from rich.table import Table

from services.cli.terminal import HOME, Home, console, open_bus, plain_table
from services.local.discovery import discover
from services.local.inspection import ServiceStatus, dead_letter_counts, service_statuses
from shared.bus.base import BusUnavailableError


def status(home: Home = HOME) -> None:
    """Show every service, the lag of each consumer group, the model in service, and dead letters.

    Exits with status 1 when something is not ready.
    """
    addresses = discover(home)
    statuses = service_statuses(addresses)
    ready = all(service.problem is None for service in statuses)
    console.print(_service_table(statuses))
    console.print()
    console.print(_lag_table(statuses))
    console.print()
    versions = {model: version for service in statuses for model, version in service.model_versions}
    for model, version in versions.items():
        console.print(f"model {model}: " + (f"version {version} decides" if version else "none in service yet"))
    if not versions:
        console.print("no model in service yet: see `headrace train`")
    if addresses.kafka is None:
        console.print("kafka: in memory of `headrace up`")
    else:
        ready &= _show_log(home, addresses.kafka)
    raise typer.Exit(0 if ready else 1)


def _service_table(statuses: Sequence[ServiceStatus]) -> Table:
    table = plain_table("service", "ready", "address")
    for service in statuses:
        ready = "[green]yes[/]" if service.problem is None else f"[red]no[/]: {escape(service.problem)}"
        table.add_row(service.name, ready, service.base_url)
    return table


def _lag_table(statuses: Sequence[ServiceStatus]) -> Table:
    table = plain_table("consumer group", "records waiting")
    for service in statuses:
        for lag in service.lags:
            table.add_row(lag.group, str(lag.records))
    return table


def _show_log(home: Path, kafka_address: str) -> bool:
    """Print what the log itself tells; return whether it answers."""
    with contextlib.closing(open_bus(home)) as bus:
        try:
            counts = dead_letter_counts(bus)
        except BusUnavailableError as error:
            console.print(f"kafka {kafka_address}: [red]{escape(str(error))}[/]")
            return False
    console.print(f"kafka {kafka_address}: answers")
    held = ", ".join(f"{topic} {count}" for topic, count in counts.items() if count)
    console.print(f"dead letters: {held or 'none'}" + (" (see `headrace topics --dead-letters TOPIC`)" if held else ""))
    return True
