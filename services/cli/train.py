"""`headrace train`: ask for a new model, and wait for what becomes of it."""

import contextlib
import getpass
from typing import Annotated

import typer
from rich.markup import escape

from services.cli.terminal import HOME, Home, console, open_bus
from services.local.model_request import follow_models, request_training
from shared.contracts.events import ModelEvent
from shared.contracts.topics import MODELS
from shared.runtime.clock import SystemClock

_SHOWN_METRICS_MAX = 20


def train(
    home: Home = HOME,
    *,
    reason: Annotated[str, typer.Option(help="Why; kept with the request.")] = "asked for on the command line",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the outcome and print it.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Most seconds to wait.")] = 600.0,
) -> None:
    """Ask training for a new model from everything archived; it goes live only through the gates.

    With --wait the exit status tells the outcome: 0 promoted, 1 refused.
    """
    clock = SystemClock()
    with contextlib.closing(open_bus(home)) as bus, contextlib.ExitStack() as opened:
        tail = opened.enter_context(contextlib.closing(bus.tail([MODELS.name], start="newest"))) if wait else None
        request = request_training(bus, clock, requested_by=getpass.getuser(), reason=reason)
        console.print(f"requested by {escape(request.requested_by)}, trace {request.trace_id}")
        if tail is not None:
            last = None
            for last in follow_models(tail, clock, seconds_max=timeout):
                _show(last)
            raise typer.Exit(0 if last is not None and last.action == "promoted" else 1)


def _show(event: ModelEvent) -> None:
    colour = {"promoted": "green", "refused": "red"}.get(event.action, "default")
    console.print(f"[{colour}]{event.action}[/] {event.model_name} {event.model_version}: {escape(event.reason)}")
    for name, value in sorted(event.metrics.items())[:_SHOWN_METRICS_MAX]:
        console.print(f"  [dim]{name:<28}{value:.4g}[/]")
