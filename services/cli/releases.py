"""What a person decides about versions: the commands of `headrace models` that announce something."""

import contextlib
import getpass
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from services.cli.terminal import HOME, Home, console, errors, open_bus
from services.training import releases
from services.training.model_log import History, ModelLog
from services.training.refusal import RefusedError
from services.training.releases import Order
from shared.contracts.events import ModelEvent
from shared.features.catalog.fraud import FRAUD
from shared.models.manifest import MODEL_NAME
from shared.models.registry import Registry, RegistryUnavailableError
from shared.models.session import OnnxModel
from shared.runtime.clock import SystemClock
from shared.runtime.settings import ServiceSettings

VersionNumber = Annotated[int, typer.Argument(min=1, metavar="VERSION", help="Number of a registered version.")]
_Reason = Annotated[str, typer.Option(help="Why; kept with the event.")]
_By = Annotated[str | None, typer.Option(metavar="NAME", help="Who decided it; by default the user logged in.")]
_Share = Annotated[float, typer.Option(help="Which part of the cards it decides about, between 0 and 1.")]

_IN_FORCE = "and is in force from now on"
_DONE = {
    "promoted": f"promoted {_IN_FORCE}",
    "rolled_back": f"rolled back to {_IN_FORCE}",
    "shadowed": "made a challenger",
    "canaried": "made the canary for {share:.3g} of the cards",
    "withdrawn": "withdrawn",
    "archived": "archived",
}


def promote(version: VersionNumber, home: Home = HOME, *, reason: _Reason, by: _By = None) -> None:
    """Put a version in force, over whatever the gates said; scoring takes it up while it runs."""
    order = _order(by, reason)
    _put_in_force(home, lambda history: releases.promotion(history, version, order, FRAUD))


def rollback(home: Home = HOME, *, reason: _Reason = "asked for on the command line", by: _By = None) -> None:
    """Go back to the version that was in force before, for every card; scoring takes it up while it runs."""
    order = _order(by, reason)
    _put_in_force(home, lambda history: releases.rollback(history, order, FRAUD))


def shadow(version: VersionNumber, home: Home = HOME, *, reason: _Reason, by: _By = None) -> None:
    """Let a version score every payment and decide none: `headrace models shadow-report` shows how it does."""
    order = _order(by, reason)
    _announce_usable(home, lambda history: releases.shadowing(history, version, order, FRAUD))


def canary(version: VersionNumber, home: Home = HOME, *, share: _Share, reason: _Reason, by: _By = None) -> None:
    """Let a version decide about a share of the cards; a card stays with it, and more join when the share grows."""
    order = _order(by, reason)
    _announce_usable(home, lambda history: releases.canarying(history, version, share, order, FRAUD))


def withdraw(version: VersionNumber, home: Home = HOME, *, reason: _Reason, by: _By = None) -> None:
    """End a version's trial: it is neither canary nor challenger any more."""
    order = _order(by, reason)
    _announce(home, lambda history: releases.withdrawal(history, version, order))


def archive(version: VersionNumber, home: Home = HOME, *, reason: _Reason, by: _By = None) -> None:
    """Put a version away for good: nothing can bring it back into force. Its files stay."""
    order = _order(by, reason)
    _announce(home, lambda history: releases.archiving(history, version, order))


def registry_of(home: Path) -> Registry:
    """Return the registry of this home."""
    return Registry(home, tracking_uri=ServiceSettings().mlflow_tracking_uri)


def loaded(registry: Registry, event: ModelEvent) -> OnnxModel:
    """Return the version an event names; its files are the announced ones, and its graph does what it should.

    Raises:
        RefusedError: unusable.
        ModelIntegrityError, RegistryUnavailableError: as Registry.load.
    """
    files = registry.load(
        MODEL_NAME, event.model_version, digest=event.model_digest, manifest_digest=event.manifest_digest
    )
    try:
        return OnnxModel(*files)
    except ValueError as error:
        raise RefusedError("unusable", f"version {event.model_version} cannot be used: {error}") from error


def _put_in_force(home: Path, decide: Callable[[History], ModelEvent]) -> None:
    """Announce a version that can be used, and mark it in MLflow."""
    event = _announce_usable(home, decide)
    try:
        registry_of(home).show_champion(event)
    except RegistryUnavailableError as error:
        errors.print(f"done, but MLflow does not show it: {error}", markup=False, soft_wrap=True)


def _announce_usable(home: Path, decide: Callable[[History], ModelEvent]) -> ModelEvent:
    """Announce what is decided about a version, once its files have been loaded."""
    with contextlib.closing(open_bus(home)) as bus:
        planned = decide(ModelLog(bus).history())
    loaded(registry_of(home), planned)

    def still(history: History) -> ModelEvent:
        event = decide(history)
        if event.model_version != planned.model_version:
            raise RefusedError("changed", "another version was put in force meanwhile; look again, then decide")
        return event

    return _announce(home, still)


def _announce(home: Path, decide: Callable[[History], ModelEvent]) -> ModelEvent:
    with contextlib.closing(open_bus(home)) as bus:
        (event,) = ModelLog(bus).append(lambda history: [decide(history)])
    console.print(
        f"version {event.model_version} was {_DONE[event.action].format(share=event.share)}; "
        f"event {event.event_id} by {event.actor}: {event.reason}",
        markup=False,
        soft_wrap=True,
    )
    return event


def _order(by: str | None, reason: str) -> Order:
    return Order(actor=by or getpass.getuser(), reason=reason, at=SystemClock().now())
