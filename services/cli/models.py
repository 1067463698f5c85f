"""`headrace models`: what there is, how two versions compare, and what a person decides about them."""

import contextlib
import getpass
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from services.cli.terminal import HOME, Home, console, errors, open_bus, plain_table
from services.training.archive import Archive
from services.training.data.dataset import read_training_set
from services.training.model_log import History, ModelLog
from services.training.refusal import RefusedError
from services.training.releases import Order, archiving, of_model, promotion, registration, rollback
from services.training.rematch import rematch
from services.training.settings import TrainingSettings
from shared.contracts.events import ModelEvent
from shared.features.catalog.fraud import FRAUD
from shared.models import lineage
from shared.models.manifest import MODEL_NAME
from shared.models.packages import ModelIntegrityError
from shared.models.registry import Registry, RegistryUnavailableError
from shared.models.session import OnnxModel
from shared.runtime.clock import SystemClock
from shared.runtime.settings import ServiceSettings

models = typer.Typer(
    name="models",
    help="Registered models: look, compare, promote, roll back. To browse runs and reports: "
    "`mlflow ui --backend-store-uri sqlite:///HOME/mlflow.db`.",
    no_args_is_help=True,
)

_DIGEST_DIGITS = 12
_MAIN_METRIC = "average_precision"
_DONE = {"promoted": "promoted", "rolled_back": "rolled back to", "archived": "archived"}

_Version = Annotated[int, typer.Argument(min=1, metavar="VERSION", help="Number of a registered version.")]
_Reason = Annotated[str, typer.Option(help="Why; kept with the event.")]
_By = Annotated[str | None, typer.Option(metavar="NAME", help="Who decided it; by default the user logged in.")]


@models.command("list")
def list_versions(
    home: Home = HOME, *, archived: Annotated[bool, typer.Option("--all", help="Archived ones too.")] = False
) -> None:
    """Show the registered versions, newest first; the one in force is marked with *."""
    history, registry = _history(home), _registry(home)
    announced = {event.model_version: event for event in of_model(history) if event.action == "registered"}
    here = set(registry.packages.versions(MODEL_NAME))
    table = plain_table("no.", "state", "trained", "average precision", "features", "digest")
    for version in sorted(announced, reverse=True):
        state = _state(history, version)
        if state == "archived" and not archived:
            continue
        event = announced[version]
        intervals = _intervals_here(registry, version) if version in here else {}
        table.add_row(
            f"{version}{'*' if state == 'in force' else ''}",
            state,
            f"{event.occurred_at:%Y-%m-%d}",
            _figure(event.metrics.get(_MAIN_METRIC), intervals.get(_MAIN_METRIC)),
            _features(event.feature_version),
            (event.model_digest or "")[:_DIGEST_DIGITS],
        )
    console.print(table if table.row_count else "no model registered yet: see `headrace train`")


@models.command()
def show(version: _Version, home: Home = HOME) -> None:
    """Show all that is known of a version: what it is, how good, what was decided about it, where its report lies."""
    history, registry = _history(home), _registry(home)
    registered = registration(history, version)
    manifest = registry.manifest(MODEL_NAME, version)
    facts = {
        "version": f"{version} ({_state(history, version)})",
        "estimator": manifest.estimator,
        "trained": f"{manifest.trained_at:%Y-%m-%d %H:%M} UTC on {manifest.training_rows:,} payments"
        + (f" up to {manifest.trained_until:%Y-%m-%d %H:%M}" if manifest.trained_until else ""),
        "review from": f"{manifest.thresholds.review:.4g}",
        "decline from": f"{manifest.thresholds.decline:.4g}",
        "model": manifest.model_digest,
        "manifest": registered.manifest_digest or "not announced",
        "data": manifest.data_digest,
        "features": manifest.feature_version,
        "code": manifest.code_commit or "unknown",
        "report": _report(registry, version),
    }
    for name, fact in facts.items():
        # Not a table: a digest that was wrapped could not be copied.
        console.print(f"{name:<14}{fact}", markup=False, soft_wrap=True)
    metrics = plain_table("metric", "value")
    for name, value in sorted(manifest.metrics.items()):
        metrics.add_row(name, _figure(value, manifest.intervals.get(name)))
    console.print()
    console.print(metrics)
    console.print()
    for event in of_model(history):
        if event.model_version == version:
            console.print(
                f"{event.occurred_at:%Y-%m-%d %H:%M}  {event.action} by {event.actor}: {event.reason}",
                markup=False,
                soft_wrap=True,
            )


@models.command()
def compare(one: _Version, other: _Version, home: Home = HOME) -> None:
    """Show two versions side by side, then test on archived payments that are new to both which one is better."""
    history, registry = _history(home), _registry(home)
    first, second = (_loaded(registry, registration(history, version)) for version in (one, other))
    table = plain_table("metric, each on its own payments", f"version {one}", f"version {other}")
    for name in sorted(first.manifest.metrics.keys() | second.manifest.metrics.keys()):
        table.add_row(
            name,
            *(_figure(m.manifest.metrics.get(name), m.manifest.intervals.get(name)) for m in (first, second)),
        )
    console.print(table)
    console.print()
    settings = TrainingSettings(headrace_home=home)
    data = read_training_set(Archive(home / "archive", [FRAUD]), FRAUD, settings)
    outcome = rematch(first, second, data, error_rate=settings.headrace_training_error_rate)
    verdict = f"version {other} is better" if outcome.better else f"no proof that version {other} is better"
    console.print(f"{verdict}: {outcome.explanation}", markup=False, soft_wrap=True)


@models.command()
def promote(version: _Version, home: Home = HOME, *, reason: _Reason, by: _By = None) -> None:
    """Put a version in force, over whatever the gates said; scoring takes it up while it runs."""
    order = _order(by, reason)
    _put_in_force(home, lambda history: promotion(history, version, order, FRAUD))


@models.command("rollback")
def roll_back(home: Home = HOME, *, reason: _Reason = "asked for on the command line", by: _By = None) -> None:
    """Go back to the version that was in force before; scoring takes it up while it runs."""
    order = _order(by, reason)
    _put_in_force(home, lambda history: rollback(history, order, FRAUD))


@models.command()
def archive(version: _Version, home: Home = HOME, *, reason: _Reason, by: _By = None) -> None:
    """Put a version away for good: nothing can bring it back into force. Its files stay."""
    order = _order(by, reason)
    with contextlib.closing(open_bus(home)) as bus:
        _tell(ModelLog(bus).append(lambda history: [archiving(history, version, order)]))


def _put_in_force(home: Path, decide: Callable[[History], ModelEvent]) -> None:
    """Check the files of the version that is decided for, announce it, and mark it in MLflow."""
    registry = _registry(home)
    with contextlib.closing(open_bus(home)) as bus:
        log = ModelLog(bus)
        planned = decide(log.history())
        _loaded(registry, planned)

        def still(history: History) -> list[ModelEvent]:
            event = decide(history)
            if event.model_version != planned.model_version:
                raise RefusedError("changed", "another version was put in force meanwhile; look again, then decide")
            return [event]

        _tell(log.append(still))
    try:
        registry.show_champion(planned)
    except RegistryUnavailableError as error:
        errors.print(f"done, but MLflow does not show it: {error}", markup=False, soft_wrap=True)


def _tell(events: Sequence[ModelEvent]) -> None:
    for event in events:
        in_force = " and is in force from now on" if lineage.puts_in_force(event, MODEL_NAME) else ""
        console.print(
            f"version {event.model_version} was {_DONE[event.action]}{in_force}; "
            f"event {event.event_id} by {event.actor}: {event.reason}",
            markup=False,
            soft_wrap=True,
        )


def _history(home: Path) -> History:
    with contextlib.closing(open_bus(home)) as bus:
        return ModelLog(bus).history()


def _registry(home: Path) -> Registry:
    return Registry(home, tracking_uri=ServiceSettings().mlflow_tracking_uri)


def _order(by: str | None, reason: str) -> Order:
    return Order(actor=by or getpass.getuser(), reason=reason, at=SystemClock().now())


def _loaded(registry: Registry, event: ModelEvent) -> OnnxModel:
    """Return the version an event names; its files are the announced ones, and its graph runs."""
    files = registry.load(
        MODEL_NAME, event.model_version, digest=event.model_digest, manifest_digest=event.manifest_digest
    )
    try:
        return OnnxModel(*files)
    except ValueError as error:
        raise RefusedError("unusable", f"version {event.model_version} cannot be used: {error}") from error


def _intervals_here(registry: Registry, version: int) -> dict[str, tuple[float, float]]:
    with contextlib.suppress(ModelIntegrityError):
        return registry.packages.manifest(MODEL_NAME, version).intervals
    return {}


def _report(registry: Registry, version: int) -> str:
    try:
        found = [known.report for known in registry.versions(MODEL_NAME) if known.number == version]
    except RegistryUnavailableError as error:
        return f"not known: {error}"
    return found[0] if found else f"not known to MLflow at {registry.address}"


def _state(history: History, version: int) -> str:
    """Return in a word or three what became of a version."""
    champion = history.champion(MODEL_NAME)
    if champion is not None and champion.model_version == version:
        return "in force"
    if lineage.is_archived(history.events, MODEL_NAME, version):
        return "archived"
    about = [event for event in of_model(history) if event.model_version == version]
    if any(lineage.puts_in_force(event, MODEL_NAME) for event in about):
        return "replaced"
    return about[-1].action


def _features(version: str) -> str:
    return version[:_DIGEST_DIGITS] if version == FRAUD.version else f"old {version[: _DIGEST_DIGITS - 4]}"


def _figure(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return "-"
    return escape(f"{value:.3g}" + (f" [{interval[0]:.3g}, {interval[1]:.3g}]" if interval else ""))
