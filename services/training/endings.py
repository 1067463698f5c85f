"""How a training run ends, whichever model it is for: in steps, or refused; and who is told of a promotion."""

import logging
from collections.abc import Callable
from pathlib import Path

from services.training.outcome import Step
from services.training.refusal import RefusedError
from shared.contracts.events import ModelEvent
from shared.models.manifest import ModelManifest
from shared.models.registry import Registry, RegistryUnavailableError
from shared.runtime.logs import fields

log = logging.getLogger(__name__)


def ended(run: Callable[[], list[Step]]) -> list[Step]:
    """Return what `run` ends with; a refusal is an answer, not an error."""
    try:
        return run()
    except RefusedError as refusal:
        log.warning("no model: %s", refusal, **fields(code=refusal.code))
        return [Step("refused", str(refusal))]
    except RegistryUnavailableError as error:
        log.warning("no model: %s", error, **fields(code="registry"))
        return [Step("refused", f"a model cannot be registered: {error}")]


def failing(registry: Registry, run_id: str, make: Callable[[], list[Step]]) -> list[Step]:
    """Return what `make` ends with; where it is refused, end the run in the registry, and raise the RefusedError."""
    try:
        return make()
    except RefusedError as refusal:
        registry.fail(run_id, str(refusal))
        raise


def show_champion(registry: Registry, promoted: ModelEvent) -> None:
    """Let the registry show who is champion; it does not decide that, so nothing hangs on it."""
    try:
        registry.show_champion(promoted)
    except RegistryUnavailableError as error:
        log.warning("promoted, but MLflow does not show it: %s", error, **fields(trace_id=promoted.trace_id))


def register(registry: Registry, manifest: ModelManifest, onnx: bytes, *, run_id: str, card: str, report: Path) -> str:
    """Register a version with its card and the folder of its report; return the digest of its manifest.

    Raises:
        RefusedError: the package cannot be kept on this machine.
        RegistryUnavailableError: nothing is registered.
    """
    try:
        return registry.add(manifest, onnx, run_id=run_id, card=card, artefacts=report)
    except OSError as error:
        raise RefusedError("registry", f"the model cannot be kept: {error}; mend it and ask again") from error
