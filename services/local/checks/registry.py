"""The model registry: whether it answers, and whether the files of the versions in force are the announced ones."""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx

from services.local.checks.finding import Area, Finding
from shared.bus.base import Bus, BusUnavailableError
from shared.bus.chained_log import ChainedLog
from shared.contracts.events import ModelEvent
from shared.contracts.topics import MODELS
from shared.models import lineage
from shared.models.manifest import ModelManifest
from shared.models.packages import ModelIntegrityError, Packages
from shared.models.registry import without_credentials

_HTTP_SECONDS_MAX = 5.0


def check_registry(
    area: Area, home: Path, *, tracking_uri: str | None, open_bus: Callable[[], Bus] | None
) -> Sequence[Finding]:
    """Ask MLflow, and compare the files below `home` with what the log announced; open_bus: None without a log."""
    return [_mlflow(area, home, tracking_uri), *_files(area, home, open_bus)]


def _mlflow(area: Area, home: Path, uri: str | None) -> Finding:
    if uri is None:
        return _database(area, home / "mlflow.db")
    address = without_credentials(uri)
    if not uri.startswith(("http://", "https://")):
        return area.not_checked("mlflow", f"{address} is asked by training alone")
    advice = "see that it runs, and that MLFLOW_TRACKING_URI names it; what is in force is served without it"
    try:
        answer = httpx.get(f"{uri.rstrip('/')}/health", timeout=_HTTP_SECONDS_MAX)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return area.failed("mlflow", f"{address} does not answer: {without_credentials(str(error))}", advice)
    if not answer.is_success:
        return area.failed("mlflow", f"{address} answers {answer.status_code}", advice)
    return area.ok("mlflow", f"{address} answers")


def _database(area: Area, path: Path) -> Finding:
    if not path.exists():
        return area.ok("mlflow", f"{path} is not there yet: nothing was trained")
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            [told] = database.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error as error:
        told = str(error)
    if told != "ok":
        return area.failed("mlflow", f"{path} is damaged: {told}", "bring it back from a backup")
    return area.ok("mlflow", f"{path} is whole")


def _files(area: Area, home: Path, open_bus: Callable[[], Bus] | None) -> Iterator[Finding]:
    if open_bus is None:
        yield area.not_checked("files", "without the log it is not known which versions are in force")
        return
    try:
        with contextlib.closing(open_bus()) as bus:
            events = ChainedLog(bus, MODELS, ModelEvent).chain().events
    except BusUnavailableError:
        yield area.not_checked("files", "the log, which tells which versions are in force, does not answer")
        return
    in_force = [lineage.in_force(events, name) for name in sorted({event.model_name for event in events})]
    for event in filter(None, in_force):
        yield _package(area, Packages(home / "models"), event)
    if not any(in_force):
        yield area.ok("files", "no model is in force yet")


def _package(area: Area, packages: Packages, event: ModelEvent) -> Finding:
    name, version = event.model_name, event.model_version
    if version not in packages.versions(name):
        return area.not_checked("files", f"{name} {version}, in force, is not on this machine")
    try:
        packages.load(
            name, version, digest=event.model_digest, manifest_digest=event.manifest_digest, kind=ModelManifest
        )
    except ModelIntegrityError as error:
        advice = "restart scoring, which fetches it again; or `headrace models rollback`"
        return area.failed("files", f"{name} {version}, in force: {error}", advice)
    return area.ok("files", f"{name} {version}, in force, is as announced")
