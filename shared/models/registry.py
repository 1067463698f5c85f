"""The model registry: MLflow, for runs, versions and reports, and the packages on this machine, which services load.

MLflow is imported on first use: a service whose package is on its disk pays neither its two seconds nor its memory.
"""

import contextlib
import logging
import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, overload

from shared.contracts.events import ModelEvent
from shared.models.manifest import Manifest, ModelManifest
from shared.models.packages import (
    Announced,
    M,
    ModelIntegrityError,
    Package,
    Packages,
    checked,
    packed,
    read_manifest,
    sha256,
)
from shared.models.runs import DataSource, Version

if TYPE_CHECKING:
    from shared.models.tracking import Tracking

log = logging.getLogger(__name__)

# Read while MLflow is imported, before its own defaults can be changed: no usage reports, no advertising.
_IMPORT_SETTINGS = ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_DISABLE_AGENT_HINT")


_CHAMPION = "champion"


class RegistryUnavailableError(Exception):
    """MLflow does not answer, or not in time; packages on this machine can still be loaded."""


class Registry:
    """Registers and loads model versions; safe for several processes.

    Methods that ask MLflow raise RegistryUnavailableError when it fails them; none waits for it without bound.
    """

    def __init__(self, home: Path, *, tracking_uri: str | None) -> None:
        """Describe the registry; nothing is opened before it is needed.

        tracking_uri: of an MLflow server; without one, MLflow keeps its records in `<home>/mlflow.db` and its files
            in `<home>/mlflow-artifacts`.
        """
        self._home = home.absolute()
        self._uri = tracking_uri or f"sqlite:///{self._home / 'mlflow.db'}"
        self._tracking: Tracking | None = None
        self.packages = Packages(self._home / "models")
        self.address = without_credentials(self._uri)

    def begin(self, model_name: str, *, parameters: Mapping[str, object], tags: Mapping[str, str]) -> str:
        """Open a training run in the experiment `headrace-<model_name>`; return its id."""
        with self._asked() as tracking:
            return tracking.begin(model_name, parameters, tags)

    def log_data(self, run_id: str, data: DataSource) -> None:
        """Keep with a run the events it is made from."""
        with self._asked() as tracking:
            tracking.log_data(run_id, data)

    def fail(self, run_id: str, reason: str) -> None:
        """End a run that brings no model; a version reserved for it is never given out again."""
        with self._asked() as tracking:
            tracking.fail(run_id, without_credentials(reason))

    def reserve(self, model_name: str, run_id: str) -> int:
        """Return the number that the run's model will have: one that nothing carries, here or in MLflow."""
        newest = max(self.packages.versions(model_name), default=0)
        with self._asked() as tracking:
            return tracking.reserve(model_name, run_id, above=newest)

    def add(
        self, manifest: ModelManifest, onnx: bytes, *, run_id: str, card: str, artefacts: Path | None = None
    ) -> str:
        """Register a version under the number that was reserved for its run, and end the run.

        card: the model card, Markdown. artefacts: a folder of files to keep with the run, as the report.
        Returns the SHA-256 of the manifest file, to be announced beside the model's.

        Raises:
            RegistryUnavailableError: nothing is registered; adding it again is safe.
            OSError: the package cannot be written on this machine; FileExistsError where its number is taken.
        """
        package = packed(manifest, onnx)
        with self._asked() as tracking:
            tracking.log(run_id, manifest.metrics, artefacts)
            tracking.upload(run_id, manifest, package, card)
            tracking.finish(run_id)
        self.packages.add(manifest, onnx)
        return sha256(package.manifest)

    def versions(self, model_name: str) -> list[Version]:
        """Return what MLflow has registered, oldest first; numbers that were reserved only are left out."""
        with self._asked() as tracking:
            return tracking.versions(model_name)

    @overload
    def manifest(self, model_name: str, version: int) -> Manifest: ...
    @overload
    def manifest(self, model_name: str, version: int, *, kind: type[M]) -> M: ...
    def manifest(self, model_name: str, version: int, *, kind: type[ModelManifest] = Manifest) -> ModelManifest:
        """Return a version's manifest, from this machine where it is here.

        kind: what the caller can read; ModelManifest for that of any model.

        Raises:
            ModelIntegrityError: there is no such version, or its manifest cannot be read or is of another kind.
            RegistryUnavailableError: it is not on this machine, and MLflow fails.
        """
        with contextlib.suppress(ModelIntegrityError):
            return self.packages.manifest(model_name, version, kind=kind)
        package, origin = self._fetched(model_name, version)
        return read_manifest(package.manifest, model_name, version, kind=kind, origin=origin)

    @overload
    def load(
        self, model_name: str, version: int, *, digest: str | None, manifest_digest: str | None = None
    ) -> tuple[Manifest, bytes]: ...
    @overload
    def load(
        self,
        model_name: str,
        version: int,
        *,
        digest: str | None,
        manifest_digest: str | None = None,
        kind: type[M],
    ) -> tuple[M, bytes]: ...
    def load(
        self,
        model_name: str,
        version: int,
        *,
        digest: str | None,
        manifest_digest: str | None = None,
        kind: type[ModelManifest] = Manifest,
    ) -> tuple[ModelManifest, bytes]:
        """Return a version's manifest and ONNX bytes, whose SHA-256 is `digest`.

        From this machine where the package is here and whole; else from MLflow, once, and kept here from then on.
        manifest_digest: SHA-256 of the manifest file, where it was announced. kind: of the manifest.

        Raises:
            ModelIntegrityError: there is no such version, what there is are not the announced bytes, or its manifest is
                of another kind.
            RegistryUnavailableError: it is not on this machine, and MLflow fails.
        """
        damage: ModelIntegrityError | None = None
        if version in self.packages.versions(model_name):
            try:
                return self.packages.load(
                    model_name, version, digest=digest, manifest_digest=manifest_digest, kind=kind
                )
            except ModelIntegrityError as error:
                damage = error
                log.error("a damaged package is fetched again: %s", error)  # noqa: TRY400 - the text says it all
        try:
            package, origin = self._fetched(model_name, version)
        except RegistryUnavailableError as error:
            if damage is None:
                raise
            raise ModelIntegrityError(f"{damage}; and it cannot be fetched again: {error}") from None
        found = checked(package, Announced(model_name, version, digest, manifest_digest), kind=kind, origin=origin)
        try:
            self.packages.replace(model_name, version, package)
            log.info("%s %d was fetched from %s", model_name, version, origin)
        except OSError as error:
            log.warning("%s %d was fetched from %s, but cannot be kept: %s", model_name, version, origin, error)
        return found

    def show_champion(self, event: ModelEvent) -> None:
        """Give the version that `event` put in force MLflow's alias "champion", and say who released it, when and why.

        For people who look there; the `models` topic alone decides.
        """
        released = {
            "released_by": event.actor,
            "released_at": event.occurred_at.isoformat(),
            "released_because": event.reason,
        }
        with self._asked() as tracking:
            tracking.mark(event.model_name, event.model_version, _CHAMPION, released)

    def _fetched(self, model_name: str, version: int) -> tuple[Package, str]:
        """Return what MLflow holds, unchecked, and where it came from."""
        with self._asked() as tracking:
            package = tracking.download(model_name, version)
        origin = f"MLflow at {self.address}"
        if package is None:
            raise ModelIntegrityError(
                f"{origin} has no {model_name} {version}; `headrace models list` shows what there is"
            )
        return package, origin

    @contextlib.contextmanager
    def _asked(self) -> Iterator["Tracking"]:
        """Yield MLflow; whatever goes wrong with it is a RegistryUnavailableError."""
        with _imported_quietly():
            from shared.models import tracking  # noqa: PLC0415 - see the top
        try:
            if self._tracking is None:
                self._tracking = tracking.Tracking(self._uri, home=self._home)
            yield self._tracking
        except tracking.TROUBLES as error:
            reason = without_credentials(" ".join(str(error).split()))
            # Not chained: the cause's own text may hold the password of the address.
            raise RegistryUnavailableError(
                f"MLflow at {self.address} cannot be used: {reason}; see that it runs and that MLFLOW_TRACKING_URI "
                "names it, then try again"
            ) from None


def without_credentials(text: str) -> str:
    """Return `text` with user and password cut out of every address in it."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)


@contextlib.contextmanager
def _imported_quietly() -> Iterator[None]:
    added = [name for name in _IMPORT_SETTINGS if name not in os.environ and "mlflow" not in sys.modules]
    os.environ.update(dict.fromkeys(added, "true"))
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)
