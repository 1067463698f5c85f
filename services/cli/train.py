"""`headrace train`: ask for a new model and wait for what becomes of it, or train it here."""

import contextlib
import getpass
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.markup import escape

from services.cli.releases import ModelName, ModelOption
from services.cli.terminal import HOME, Home, console, open_bus, progress_bar
from services.local.model_request import follow_models, new_request, request_training
from services.training.settings import TrainingSettings
from shared.bus.base import Bus, Record
from shared.contracts import codec
from shared.contracts.events import ModelEvent, RetrainingRequest
from shared.contracts.topics import MODELS, RETRAINING
from shared.features.catalog.fraud import FRAUD
from shared.runtime.clock import SystemClock
from shared.runtime.loop import Delivery

_SHOWN_METRICS_MAX = 20


def train(  # noqa: PLR0913 - one parameter an option
    home: Home = HOME,
    *,
    model: ModelOption = ModelName.FRAUD,
    reason: Annotated[str, typer.Option(help="Why; kept with the request.")] = "asked for on the command line",
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the outcome and print it.")] = False,
    timeout: Annotated[float, typer.Option(min=1, help="Most seconds to wait.")] = 600.0,
    here: Annotated[
        bool, typer.Option("--here", help="Train in this process, with a progress bar, not in the service.")
    ] = False,
    families: Annotated[
        str | None, typer.Option(help="With --here, of fraud: kinds of model to try, comma separated.", metavar="NAMES")
    ] = None,
    seconds: Annotated[float | None, typer.Option(help="With --here: time to search, in seconds.", min=0)] = None,
    backend: Annotated[
        str | None,
        typer.Option(help="With --here, of fraud: local, dask or ray, to search on.", metavar="NAME"),
    ] = None,
    start: Annotated[
        str | None, typer.Option(help="With --here, of fraud: scratch, or champion to carry it on with new payments.")
    ] = None,
    segment: Annotated[
        str | None, typer.Option(help="With --here, of fraud: a specialist for these payments, as country=DE.")
    ] = None,
) -> None:
    """Ask training for a new model from everything archived; it goes live only through the gates.

    With --wait or --here the exit status tells the outcome: 0 promoted, or on trial first; 1 refused.
    """
    of_fraud = {"families": families, "backend": backend, "start": start, "segment": segment}
    if model is not ModelName.FRAUD and any(value is not None for value in of_fraud.values()):
        raise typer.BadParameter(f"{', '.join(f'--{name}' for name in of_fraud)} are of the model `{ModelName.FRAUD}`")
    search = "search_seconds" if model is ModelName.FRAUD else "blend_seconds"
    chosen = of_fraud | {search: seconds}
    changes = {f"headrace_training_{name}": value for name, value in chosen.items() if value is not None}
    if changes and not here:
        raise typer.BadParameter("the training service has its own settings; add --here to train in this process")
    with contextlib.closing(open_bus(home)) as bus:
        if here:
            settings = _settings(home, changes)
            user = getpass.getuser()
            request = new_request(SystemClock(), requested_by=user, reason=reason, model_name=model.value)
            last = _trained_here(bus, settings, request)
        elif wait:
            last = _followed(bus, model, reason, timeout)
        else:
            _asked(bus, model, reason)
            return
    raise typer.Exit(0 if last is not None and last.action != "refused" else 1)


def _asked(bus: Bus, model: ModelName, reason: str) -> None:
    user = getpass.getuser()
    request = request_training(bus, SystemClock(), requested_by=user, reason=reason, model_name=model.value)
    console.print(f"requested by {escape(request.requested_by)}, trace {request.trace_id}")


def _followed(bus: Bus, model: ModelName, reason: str, seconds_max: float) -> ModelEvent | None:
    """Publish a request and show what training says of the model, up to what ends a run."""
    last = None
    with contextlib.closing(bus.tail([MODELS.name], start="newest")) as tail:
        _asked(bus, model, reason)
        for last in follow_models(tail, SystemClock(), seconds_max=seconds_max, model_name=model.value):
            _show(last)
    return last


def _settings(home: Path, changes: dict[str, Any]) -> TrainingSettings:
    try:
        return TrainingSettings(headrace_home=home, **changes)
    except ValidationError as error:
        wrong = error.errors()[0]
        raise typer.BadParameter(f"{wrong['loc'][-1]}: {wrong['msg']}") from error


def _trained_here(bus: Bus, settings: TrainingSettings, request: RetrainingRequest) -> ModelEvent | None:
    """Answer a request of our own as the service would; no other process gets to see it."""
    # What trains needs seconds to be imported, which no other command should wait for.
    from services.training.app import trainers  # noqa: PLC0415
    from services.training.archive import Archive  # noqa: PLC0415
    from services.training.attempts import Attempts  # noqa: PLC0415
    from services.training.handlers import RequestHandler  # noqa: PLC0415
    from services.training.model_log import ModelLog  # noqa: PLC0415
    from shared.models.registry import Registry  # noqa: PLC0415

    clock, model_log = SystemClock(), ModelLog(bus)
    registry = Registry(settings.headrace_home, tracking_uri=settings.mlflow_tracking_uri)
    produced_ms = int(request.occurred_at.timestamp() * 1000)
    record = Record(RETRAINING.name, 0, 0, RETRAINING.key_of(request).encode(), codec.encode(request), produced_ms)
    before = len(model_log.history().events)
    with _shown() as show:
        archive = Archive(settings.headrace_home / "archive", [FRAUD])
        attempts = Attempts(settings.headrace_home / "attempts")
        each = trainers(archive, registry, settings, clock, show=show)
        handler = RequestHandler(
            each, model_log, attempts, clock, interval=timedelta(), staged=settings.headrace_training_staged
        )
        handler([Delivery(record, request)])
    answer = [event for event in model_log.history().events[before:] if event.trace_id == request.trace_id]
    for event in answer:
        _show(event)
    return answer[-1] if answer else None


@contextlib.contextmanager
def _shown() -> Iterator[Any]:
    """Yield what a run tells its progress to: a bar for the search, a line for every other part."""
    with progress_bar() as bar:
        task = bar.add_task("reading", total=None, told="")

        def show(part: str, progress: Any) -> None:
            if progress is None:
                bar.console.print(part, markup=False, style="dim")
                bar.update(task, description=part, total=None, told="")
            else:
                told = "" if progress.best is None else f"best {progress.best.score:.3f}, {progress.best.spec.family}"
                bar.update(task, description=part, total=progress.total, completed=progress.done, told=told)

        yield show


def _show(event: ModelEvent) -> None:
    colour = {"promoted": "green", "refused": "red"}.get(event.action, "default")
    console.print(f"[{colour}]{event.action}[/] {event.model_name} {event.model_version}: {escape(event.reason)}")
    for name, value in sorted(event.metrics.items())[:_SHOWN_METRICS_MAX]:
        console.print(f"  [dim]{name:<28}{value:.4g}[/]")
