"""MLflow as the registry uses it; whatever goes wrong comes out as one of TROUBLES."""

import contextlib
import importlib.metadata
import json
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
import requests
import sqlalchemy.exc
from mlflow import MlflowClient, environment_variables, pyfunc
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.store.db import utils as database
from mlflow.store.entities import PagedList
from mlflow.types import Schema, TensorSpec
from mlflow.utils.time import get_current_time_millis

from shared.models.manifest import Manifest, ModelManifest, RecommendationManifest
from shared.models.packages import MANIFEST_FILE, MODEL_FILE, Package, locked, sha256
from shared.models.runs import DataSource, Version

T = TypeVar("T")

TROUBLES = (MlflowException, sqlalchemy.exc.SQLAlchemyError, requests.RequestException, OSError)

_MODEL_FOLDER = "model"
_REPORT_FOLDER = "report"
_DIGEST_TAG = "model_digest"
_SQLITE = "sqlite:///"
_PAGE = 200
_DATASET_DIGEST_CHARACTERS_MAX = 36

# Defaults only: what the environment says goes before them. MLflow's own wait for minutes.
_DEFAULTS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": 10,
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": 2,
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": 1,
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": False,
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": False,
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": True,
    "MLFLOW_DISABLE_TELEMETRY": True,
}
_DATABASE_ATTEMPTS_MAX = 2

for _name, _value in _DEFAULTS.items():
    getattr(environment_variables, _name).default = _value
database.MAX_RETRY_COUNT = _DATABASE_ATTEMPTS_MAX
for _name in ("mlflow", "alembic"):
    # What fails is raised, and told once, by whoever asked.
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class Tracking:
    """One MLflow, a server or a database of this machine."""

    def __init__(self, uri: str, *, home: Path) -> None:
        """Open it; `home` holds the lock under which a database is made, and the files where no server keeps them."""
        served = uri.startswith(("http://", "https://"))
        self._files = None if served else home / "mlflow-artifacts"
        home.mkdir(parents=True, exist_ok=True)
        with contextlib.nullcontext() if served else locked(home / "mlflow.lock"):
            if uri.startswith(_SQLITE):
                _make_whole(Path(uri.removeprefix(_SQLITE)))
            self._client = _opened(uri)

    def begin(self, model_name: str, parameters: Mapping[str, object], tags: Mapping[str, str]) -> str:
        """Return the id of a new run."""
        run_id: str = self._client.create_run(self._experiment(model_name)).info.run_id
        self._client.log_batch(
            run_id,
            params=[Param(name, str(value)) for name, value in parameters.items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )
        return run_id

    def log_data(self, run_id: str, data: DataSource) -> None:
        """Note the events that a run was made from."""
        source = {"archive": data.archive, "first_at": data.first_at.isoformat(), "last_at": data.last_at.isoformat()}
        frauds = {} if data.frauds is None else {"frauds": data.frauds}
        dataset = Dataset(
            name=data.name,
            digest=data.digest[:_DATASET_DIGEST_CHARACTERS_MAX],
            source_type="archive",
            source=json.dumps(source),
            profile=json.dumps({"rows": data.rows, **frauds, "sha256": data.digest}),
        )
        self._client.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])

    def log(self, run_id: str, metrics: Mapping[str, float], report: Path | None) -> None:
        """Keep metrics and a folder with a run."""
        now_ms: int = get_current_time_millis()  # type: ignore[no-untyped-call]
        self._client.log_batch(run_id, metrics=[Metric(name, value, now_ms, 0) for name, value in metrics.items()])
        if report is not None:
            self._client.log_artifacts(run_id, str(report), _REPORT_FOLDER)

    def finish(self, run_id: str) -> None:
        """End a run that brought a model."""
        self._client.set_terminated(run_id)

    def fail(self, run_id: str, reason: str) -> None:
        """End a run that did not; the versions it reserved disappear, their numbers stay taken."""
        self._client.set_tag(run_id, "refused", reason)
        for version in list(self._found(f"run_id = '{run_id}'")):
            self._client.delete_model_version(version.name, version.version)
        self._client.set_terminated(run_id, "FAILED")

    def reserve(self, model_name: str, run_id: str, *, above: int) -> int:
        """Return the next number, which is greater than `above`."""
        with _unless("RESOURCE_ALREADY_EXISTS"):
            self._client.create_registered_model(model_name)
        source = f"{self._client.get_run(run_id).info.artifact_uri}/{_MODEL_FOLDER}"
        while True:
            number = int(self._client.create_model_version(model_name, source, run_id).version)
            if number > above:
                return number
            # This MLflow is younger than the packages: what they are called stays theirs.
            self._client.delete_model_version(model_name, str(number))

    def upload(self, run_id: str, manifest: ModelManifest, package: Package, card: str) -> None:
        """Put a model's files into its run as they are, then say of the version what they are."""
        with tempfile.TemporaryDirectory() as written:
            folder = Path(written)
            _write_model(folder, run_id, manifest, package, card)
            self._client.log_artifacts(run_id, str(folder), _MODEL_FOLDER)
        tags = {
            "manifest_digest": sha256(package.manifest),
            "data_digest": manifest.data_digest,
            "feature_version": manifest.feature_version,
            "code_commit": manifest.code_commit or "unknown",
            _DIGEST_TAG: manifest.model_digest,  # last: with it the version is whole
        }
        for name, value in tags.items():
            self._client.set_model_version_tag(manifest.model_name, str(manifest.model_version), name, value)

    def download(self, model_name: str, version: int) -> Package | None:
        """Return a version's files, unchecked; None where there is no such version, or only its number."""
        registered = None
        with _unless("RESOURCE_DOES_NOT_EXIST"):
            registered = self._client.get_model_version(model_name, str(version))
        if registered is None or _DIGEST_TAG not in registered.tags:
            return None
        with tempfile.TemporaryDirectory() as folder:
            files = (
                self._client.download_artifacts(str(registered.run_id), f"{_MODEL_FOLDER}/{name}", folder)
                for name in (MANIFEST_FILE, MODEL_FILE)
            )
            return Package(*(Path(file).read_bytes() for file in files))

    def versions(self, model_name: str) -> list[Version]:
        """Return the whole versions, oldest first."""
        found = [version for version in self._found(f"name = '{model_name}'") if _DIGEST_TAG in version.tags]
        runs = self._runs(model_name) if found else {}
        return sorted(_version(version, runs[str(version.run_id)]) for version in found if version.run_id in runs)

    def mark(self, model_name: str, version: int, alias: str, tags: Mapping[str, str]) -> None:
        """Let `alias` stand for a version, and give it tags."""
        self._client.set_registered_model_alias(model_name, alias, str(version))
        for name, value in tags.items():
            self._client.set_model_version_tag(model_name, str(version), name, value)

    def _experiment(self, model_name: str) -> str:
        name = _experiment_name(model_name)
        experiment = self._client.get_experiment_by_name(name)
        if experiment is not None:
            return str(experiment.experiment_id)
        files = None if self._files is None else (self._files / model_name).as_uri()
        with _unless("RESOURCE_ALREADY_EXISTS"):
            return self._client.create_experiment(name, artifact_location=files)
        return self._experiment(model_name)  # another process was faster

    def _found(self, where: str) -> Iterator[ModelVersion]:
        return _paged(lambda token: self._client.search_model_versions(where, max_results=_PAGE, page_token=token))

    def _runs(self, model_name: str) -> dict[str, Run]:
        experiments = [self._experiment(model_name)]
        runs = _paged(lambda token: self._client.search_runs(experiments, max_results=_PAGE, page_token=token))
        return {run.info.run_id: run for run in runs}


def _paged(ask: Callable[[str | None], PagedList[T]]) -> Iterator[T]:
    """Yield everything a question brings, page by page."""
    token = None
    while True:
        page = ask(token)
        yield from page
        token = page.token
        if not token:
            return


def _make_whole(path: Path) -> None:
    """Make a database where there is none: aside, since one whose making was broken off could never be used."""
    if not path.exists():
        aside = path.with_name(f"{path.name}.making")
        aside.unlink(missing_ok=True)
        _opened(f"{_SQLITE}{aside}")
        aside.rename(path)


def _opened(uri: str) -> MlflowClient:
    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.search_registered_models(max_results=1)
    return client


def _experiment_name(model_name: str) -> str:
    return f"headrace-{model_name}"


def _version(version: ModelVersion, run: Run) -> Version:
    return Version(
        number=int(version.version),
        run_id=run.info.run_id,
        created_at=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
        tags=dict(version.tags),
        metrics=dict(run.data.metrics),
        report=f"{run.info.artifact_uri}/{_REPORT_FOLDER}",
    )


def _signature(manifest: ModelManifest) -> ModelSignature:
    """Return what goes into a model's graph and comes out of it."""
    match manifest:
        case Manifest():
            given = Schema([TensorSpec(np.dtype(np.float32), (-1, len(manifest.feature_names)))])
            made = Schema([TensorSpec(np.dtype(np.float32), (-1, 2), "probabilities")])
        case RecommendationManifest():
            given = Schema(
                [
                    TensorSpec(np.dtype(np.int64), (-1,), "items"),
                    TensorSpec(np.dtype(np.float32), (-1,), "weights"),
                    TensorSpec(np.dtype(np.bool_), (manifest.items,), "mask"),
                    TensorSpec(np.dtype(np.int64), (1,), "segment"),
                    TensorSpec(np.dtype(np.float32), (1,), "popularity"),
                    TensorSpec(np.dtype(np.int64), (1,), "k"),
                ]
            )
            top, scores = np.dtype(np.int64), np.dtype(np.float32)
            made = Schema([TensorSpec(top, (-1,), "top"), TensorSpec(scores, (-1,), "scores")])
        case _:
            raise TypeError(f"what a model with a {type(manifest).__name__} takes and makes is not known")
    return ModelSignature(inputs=given, outputs=made)


def _write_model(folder: Path, run_id: str, manifest: ModelManifest, package: Package, card: str) -> None:
    """Write what MLflow's own loaders need around the untouched bytes of the package."""
    # Not in the signature: of a frame of named columns MLflow cannot return labels and probabilities.
    names = {"feature_names": manifest.feature_names} if isinstance(manifest, Manifest) else None
    model = Model(artifact_path=_MODEL_FOLDER, run_id=run_id, signature=_signature(manifest), metadata=names)
    pyfunc.add_to_model(model, loader_module="mlflow.onnx", data=MODEL_FILE)
    model.add_flavor(
        "onnx",
        onnx_version=importlib.metadata.version("onnx"),
        data=MODEL_FILE,
        providers=["CPUExecutionProvider"],
        onnx_session_options={"intra_op_num_threads": 1, "inter_op_num_threads": 1},
        code=None,
    )
    (folder / MODEL_FILE).write_bytes(package.onnx)
    (folder / MANIFEST_FILE).write_bytes(package.manifest)
    (folder / "card.md").write_text(card)
    needed = ("mlflow", "numpy", "onnx", "onnxruntime")
    (folder / "requirements.txt").write_text(
        "".join(f"{name}=={importlib.metadata.version(name)}\n" for name in needed)
    )
    model.save(str(folder / "MLmodel"))


@contextlib.contextmanager
def _unless(error_code: str) -> Iterator[None]:
    """Pass over this one answer of MLflow."""
    try:
        yield
    except MlflowException as error:
        if error.error_code != error_code:
            raise
