"""`headrace models`: what there is, and how two versions compare; releases.py has what a person decides about them."""

import contextlib
import math
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from services.cli.recalibrate import recalibrate
from services.cli.releases import (
    ModelName,
    ModelOption,
    VersionNumber,
    archive,
    canary,
    is_current,
    loaded,
    promote,
    registry_of,
    rollback,
    shadow,
    withdraw,
)
from services.cli.terminal import HOME, Home, console, open_bus, plain_table
from services.training.archive import Archive
from services.training.data.dataset import read_training_set
from services.training.model_log import History, ModelLog
from services.training.releases import of_model, registration
from services.training.rematch import rematch
from services.training.settings import TrainingSettings
from services.training.shadows import VERDICTS, read_shadow_report
from shared.features.catalog.fraud import FRAUD
from shared.models import lineage
from shared.models.manifest import Manifest, ModelManifest, RecommendationManifest
from shared.models.packages import ModelIntegrityError
from shared.models.registry import Registry, RegistryUnavailableError

models = typer.Typer(
    name="models",
    help="Registered models: look, compare, try, promote, roll back. To browse runs and reports: "
    "`mlflow ui --backend-store-uri sqlite:///HOME/mlflow.db`.",
    no_args_is_help=True,
)

_DIGEST_DIGITS = 12
_MAIN_METRICS = {ModelName.FRAUD: "average_precision", ModelName.RECOMMENDATION: "ndcg_at_10"}


@models.command("list")
def list_versions(
    home: Home = HOME,
    *,
    archived: Annotated[bool, typer.Option("--all", help="Archived ones too.")] = False,
    model: ModelOption = ModelName.FRAUD,
) -> None:
    """Show the registered versions, newest first, and their roles; the one in force is marked with *."""
    history, registry = _history(home), registry_of(home)
    announced = {event.model_version: event for event in of_model(history, model) if event.action == "registered"}
    here = set(registry.packages.versions(model))
    main = _MAIN_METRICS[model]
    table = plain_table("no.", "state", "trained", main.replace("_", " "), "features", "digest")
    for version in sorted(announced, reverse=True):
        state = _state(history, version, model)
        if state == "archived" and not archived:
            continue
        event = announced[version]
        intervals = _intervals_here(registry, version, model) if version in here else {}
        table.add_row(
            f"{version}{'*' if state == 'in force' else ''}",
            state,
            f"{event.occurred_at:%Y-%m-%d}",
            _figure(event.metrics.get(main), intervals.get(main)),
            _features(event.feature_version, model),
            (event.model_digest or "")[:_DIGEST_DIGITS],
        )
    console.print(table if table.row_count else "no model registered yet: see `headrace train`")


@models.command()
def show(version: VersionNumber, home: Home = HOME, *, model: ModelOption = ModelName.FRAUD) -> None:
    """Show all that is known of a version: what it is, how good, what was decided about it, where its report lies."""
    history, registry = _history(home), registry_of(home)
    registered = registration(history, version, model)
    manifest = registry.manifest(model, version, kind=ModelManifest)
    until = f" up to {manifest.trained_until:%Y-%m-%d %H:%M}" if manifest.trained_until else ""
    facts = {
        "version": f"{version} ({_state(history, version, model)})",
        "trained": f"{manifest.trained_at:%Y-%m-%d %H:%M} UTC on {manifest.training_rows:,} {_rows(manifest)}{until}",
        **_facts(manifest),
        "model": manifest.model_digest,
        "manifest": registered.manifest_digest or "not announced",
        "data": manifest.data_digest,
        "features": manifest.feature_version,
        "code": manifest.code_commit or "unknown",
        "report": _report(registry, version, model),
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
    for event in of_model(history, model):
        if event.model_version == version:
            console.print(
                f"{event.occurred_at:%Y-%m-%d %H:%M}  {event.action} by {event.actor}: {event.reason}",
                markup=False,
                soft_wrap=True,
            )


@models.command()
def compare(one: VersionNumber, other: VersionNumber, home: Home = HOME) -> None:
    """Show two versions of fraud side by side, then test on archived payments new to both which one is better."""
    history, registry = _history(home), registry_of(home)
    first, second = (loaded(registry, registration(history, version)) for version in (one, other))
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


@models.command("shadow-report")
def show_shadow(version: VersionNumber, home: Home = HOME) -> None:
    """Show what a challenger would have decided beside what was decided, and which of the two ranks frauds better."""
    settings = TrainingSettings(headrace_home=home)
    report = read_shadow_report(Archive(home / "archive", [FRAUD]), FRAUD, version, settings)
    versions = ", ".join(map(str, report.versions))
    console.print(
        f"{report.payments:,} payments from {report.first:%Y-%m-%d %H:%M} to {report.last:%Y-%m-%d %H:%M} UTC, "
        f"decided by version {versions}\n",
        markup=False,
        soft_wrap=True,
    )
    verdicts = plain_table("decided", *(f"{version} would {verdict}" for verdict in VERDICTS))
    for decided, counts in zip(VERDICTS, report.verdicts.tolist(), strict=True):
        verdicts.add_row(decided, *(f"{count:,}" for count in counts))
    console.print(verdicts)
    console.print(
        f"\nthe same verdict on {report.agreement:.2%}; scores differ by {report.mean_difference:+.4f} on average over "
        f"{report.paired:,} payments that both have scored\n",
        markup=False,
        soft_wrap=True,
    )
    matured = report.matured
    ranked = plain_table(f"{matured.payments:,} matured payments", "as decided", f"version {version}")
    for name, one, other in zip(("average precision", "ROC AUC"), matured.decided, matured.challenger, strict=True):
        ranked.add_row(name, _defined(one), _defined(other))
    console.print(ranked)
    verdict = f"version {version} is better" if matured.test.better else f"no proof that version {version} is better"
    console.print(f"\n{verdict}: {matured.test.explanation}", markup=False, soft_wrap=True)


for announcing in (promote, rollback, shadow, canary, withdraw, archive, recalibrate):
    models.command()(announcing)


def _history(home: Path) -> History:
    with contextlib.closing(open_bus(home)) as bus:
        return ModelLog(bus).history()


def _rows(manifest: ModelManifest) -> str:
    """Return what a model's training rows are."""
    return "payments" if isinstance(manifest, Manifest) else "interactions"


def _facts(manifest: ModelManifest) -> dict[str, str]:
    """Return what is known of a version of this kind only."""
    if isinstance(manifest, Manifest):
        return {
            "estimator": manifest.estimator,
            "review from": f"{manifest.thresholds.review:.4g}",
            "decline from": f"{manifest.thresholds.decline:.4g}",
        }
    facts = {"estimator": manifest.family}
    if isinstance(manifest, RecommendationManifest):
        facts |= {"items": f"{manifest.items:,}", "shoppers": f"{manifest.users:,}"}
    return facts


def _intervals_here(registry: Registry, version: int, model: ModelName) -> dict[str, tuple[float, float]]:
    with contextlib.suppress(ModelIntegrityError):
        return registry.packages.manifest(model, version, kind=ModelManifest).intervals
    return {}


def _report(registry: Registry, version: int, model: ModelName) -> str:
    try:
        found = [known.report for known in registry.versions(model) if known.number == version]
    except RegistryUnavailableError as error:
        return f"not known: {error}"
    return found[0] if found else f"not known to MLflow at {registry.address}"


def _state(history: History, version: int, model: ModelName) -> str:
    """Return in a few words which role a version has, or what became of it."""
    now = lineage.standing(history.events, model)
    if now.champion is not None and now.champion.model_version == version:
        return "in force"
    if now.canary is not None and now.canary.model_version == version:
        return f"canary, {100 * (now.canary.share or 0):.3g} %"
    if version in {event.model_version for event in now.challengers}:
        return "challenger"
    if lineage.is_archived(history.events, model, version):
        return "archived"
    about = [event for event in of_model(history, model) if event.model_version == version]
    if any(lineage.puts_in_force(event, model) for event in about):
        return "replaced"
    return "canary before" if about[-1].action == "canaried" else about[-1].action


def _features(version: str, model: ModelName) -> str:
    return version[:_DIGEST_DIGITS] if is_current(model, version) else f"old {version[: _DIGEST_DIGITS - 4]}"


def _defined(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _figure(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return "-"
    return escape(f"{value:.3g}" + (f" [{interval[0]:.3g}, {interval[1]:.3g}]" if interval else ""))
