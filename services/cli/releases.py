"""What a person decides about versions: the commands of `headrace models` that announce something."""

import contextlib
import getpass
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from services.cli.terminal import HOME, Home, console, errors, open_bus
from services.training import releases
from services.training.model_log import History, ModelLog
from services.training.refusal import RefusedError
from services.training.releases import Model, Order
from shared.contracts.events import ModelEvent
from shared.features.catalog.fraud import FRAUD
from shared.models.manifest import MODEL_NAME, RECOMMENDATION, RecommendationManifest
from shared.models.recommender import RecommenderModel
from shared.models.registry import Registry, RegistryUnavailableError
from shared.models.session import OnnxModel
from shared.recommendation.feature_version import FEATURE_VERSION
from shared.runtime.clock import SystemClock
from shared.runtime.settings import ServiceSettings

VersionNumber = Annotated[int, typer.Argument(min=1, metavar="VERSION", help="Number of a registered version.")]
_Reason = Annotated[str, typer.Option(help="Why; kept with the event.")]
_By = Annotated[str | None, typer.Option(metavar="NAME", help="Who decided it; by default the user logged in.")]
_Share = Annotated[float, typer.Option(help="Which part of the cards, or shoppers, is its own, between 0 and 1.")]


class ModelName(StrEnum):
    """The models that are trained here."""

    FRAUD = MODEL_NAME
    RECOMMENDATION = RECOMMENDATION


ModelOption = Annotated[ModelName, typer.Option("--model", help="Which model is meant.")]
_MODELS = {
    ModelName.FRAUD: Model(MODEL_NAME, FRAUD.version),
    ModelName.RECOMMENDATION: Model(RECOMMENDATION, FEATURE_VERSION),
}

_IN_FORCE = "and is in force from now on"
_DONE = {
    "promoted": f"promoted {_IN_FORCE}",
    "rolled_back": f"rolled back to {_IN_FORCE}",
    "shadowed": "made a challenger",
    "canaried": "made the canary for {share:.3g} of the {subjects}",
    "withdrawn": "withdrawn",
    "archived": "archived",
}


def promote(
    version: VersionNumber, home: Home = HOME, *, reason: _Reason, by: _By = None, model: ModelOption = ModelName.FRAUD
) -> None:
    """Put a version in force, over whatever the gates said; scoring takes it up while it runs."""
    order = _order(by, reason)
    _put_in_force(home, lambda history: releases.promotion(history, version, order, _MODELS[model]))


def rollback(
    home: Home = HOME,
    *,
    reason: _Reason = "asked for on the command line",
    by: _By = None,
    model: ModelOption = ModelName.FRAUD,
) -> None:
    """Go back to the version that was in force before, for everyone; scoring takes it up while it runs."""
    order = _order(by, reason)
    _put_in_force(home, lambda history: releases.rollback(history, order, _MODELS[model]))


def shadow(version: VersionNumber, home: Home = HOME, *, reason: _Reason, by: _By = None) -> None:
    """Let a version of fraud score every payment and decide none: see `headrace models shadow-report`."""
    order = _order(by, reason)
    _announce_usable(home, lambda history: releases.shadowing(history, version, order, _MODELS[ModelName.FRAUD]))


def canary(
    version: VersionNumber,
    home: Home = HOME,
    *,
    share: _Share,
    reason: _Reason,
    by: _By = None,
    model: ModelOption = ModelName.FRAUD,
) -> None:
    """Let a version serve a share of the cards, or shoppers; one stays with it, and more join when the share grows."""
    order = _order(by, reason)
    _announce_usable(home, lambda history: releases.canarying(history, version, share, order, _MODELS[model]))


def withdraw(
    version: VersionNumber, home: Home = HOME, *, reason: _Reason, by: _By = None, model: ModelOption = ModelName.FRAUD
) -> None:
    """End a version's trial: it is neither canary nor challenger any more."""
    order = _order(by, reason)
    _announce(home, lambda history: releases.withdrawal(history, version, order, _MODELS[model]))


def archive(
    version: VersionNumber, home: Home = HOME, *, reason: _Reason, by: _By = None, model: ModelOption = ModelName.FRAUD
) -> None:
    """Put a version away for good: nothing can bring it back into force. Its files stay."""
    order = _order(by, reason)
    _announce(home, lambda history: releases.archiving(history, version, order, _MODELS[model]))


def registry_of(home: Path) -> Registry:
    """Return the registry of this home."""
    return Registry(home, tracking_uri=ServiceSettings().mlflow_tracking_uri)


def is_current(model: ModelName, feature_version: str) -> bool:
    """Tell whether what is computed now is what a version was made for."""
    return feature_version == _MODELS[model].feature_version


def loaded(registry: Registry, event: ModelEvent) -> OnnxModel:
    """Return the version of fraud an event names; its files are the announced ones, and its graph does what it should.

    Raises:
        RefusedError: unusable.
        ModelIntegrityError, RegistryUnavailableError: as Registry.load.
    """
    files = registry.load(
        event.model_name, event.model_version, digest=event.model_digest, manifest_digest=event.manifest_digest
    )
    with _unusable_told(event):
        return OnnxModel(*files)


def loaded_recommender(registry: Registry, event: ModelEvent) -> RecommenderModel:
    """Return the recommender an event names; raises as `loaded`."""
    files = registry.load(
        event.model_name,
        event.model_version,
        digest=event.model_digest,
        manifest_digest=event.manifest_digest,
        kind=RecommendationManifest,
    )
    with _unusable_told(event):
        return RecommenderModel(*files)


@contextlib.contextmanager
def _unusable_told(event: ModelEvent) -> Iterator[None]:
    try:
        yield
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
    load = loaded_recommender if planned.model_name == RECOMMENDATION else loaded
    load(registry_of(home), planned)

    def still(history: History) -> ModelEvent:
        event = decide(history)
        if event.model_version != planned.model_version:
            raise RefusedError("changed", "another version was put in force meanwhile; look again, then decide")
        return event

    return _announce(home, still)


def _announce(home: Path, decide: Callable[[History], ModelEvent]) -> ModelEvent:
    with contextlib.closing(open_bus(home)) as bus:
        (event,) = ModelLog(bus).append(lambda history: [decide(history)])
    subjects = "cards" if event.model_name == MODEL_NAME else "shoppers"
    done = _DONE[event.action].format(share=event.share, subjects=subjects)
    console.print(
        f"version {event.model_version} was {done}; event {event.event_id} by {event.actor}: {event.reason}",
        markup=False,
        soft_wrap=True,
    )
    return event


def _order(by: str | None, reason: str) -> Order:
    return Order(actor=by or getpass.getuser(), reason=reason, at=SystemClock().now())
