"""The registry on a real MLflow with SQLite: what is registered comes back byte for byte, or not at all."""

import itertools
import json
import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from services.local.processes import ROOT
from services.training.recommendation.export import export
from shared.models.manifest import MODEL_NAME, RECOMMENDATION, RecommendationManifest
from shared.models.packages import ModelIntegrityError
from shared.models.recommender import RecommenderModel
from shared.models.registry import Registry, RegistryUnavailableError
from shared.models.runs import DataSource
from shared.models.session import OnnxModel
from tests.models import (
    FEATURE_NAMES,
    fitted,
    flip_a_byte,
    forget_packages,
    local_registry,
    manifest_of,
    onnx_bytes,
    register,
    released,
    some_rows,
)
from tests.recommenders import manifest_of as recommendation_manifest
from tests.recommenders import recommender

BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return local_registry(tmp_path)


@pytest.fixture
def mlflow(registry: Registry, tmp_path: Path) -> Iterator[ModuleType]:
    """MLflow as somebody uses it who knows nothing of this project."""
    assert registry.versions(MODEL_NAME) == []
    import mlflow  # noqa: PLC0415 - only once the registry has imported it, which keeps it from reporting its use

    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    yield mlflow
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


def stored_in_mlflow(home: Path, name: str) -> Path:
    (found,) = (home / "mlflow-artifacts").rglob(name)
    return found


def test_a_registered_model_comes_back_from_the_package_and_from_mlflow(registry: Registry, tmp_path: Path) -> None:
    manifest, manifest_digest = register(registry)
    for forget in (False, True, False):
        if forget:
            forget_packages(tmp_path)
        found = registry.load(MODEL_NAME, 1, digest=manifest.model_digest, manifest_digest=manifest_digest)
        assert found == (manifest, onnx_bytes())
        assert registry.manifest(MODEL_NAME, 1) == manifest
    np.testing.assert_allclose(
        OnnxModel(*found).scores(some_rows()), fitted().predict_proba(some_rows())[:, 1], atol=1e-6
    )


def test_mlflow_loads_it_too_from_our_very_bytes(registry: Registry, mlflow: ModuleType, tmp_path: Path) -> None:
    register(registry)
    registry.show_champion(released())
    graph = mlflow.onnx.load_model("models:/fraud/1")
    assert [output.name for output in graph.graph.output] == ["label", "probabilities"]
    assert registry.versions(MODEL_NAME)[0].tags["released_by"] == "ada"
    model = mlflow.pyfunc.load_model("models:/fraud@champion")
    assert model.metadata.metadata == {"feature_names": FEATURE_NAMES}
    probabilities = model.predict(some_rows())["probabilities"]
    np.testing.assert_allclose(probabilities, fitted().predict_proba(some_rows()), atol=1e-6)
    assert stored_in_mlflow(tmp_path, "model.onnx").read_bytes() == onnx_bytes()


def test_a_recommender_is_registered_beside_and_mlflow_runs_it(
    registry: Registry, mlflow: ModuleType, tmp_path: Path
) -> None:
    register(registry)
    run_id = registry.begin(RECOMMENDATION, parameters={"width": 4}, tags={})
    registry.log_data(run_id, DataSource("d" * 64, "archive", BEGIN, END, 1_000, name="interactions"))
    onnx = export(recommender())
    manifest = recommendation_manifest(onnx, registry.reserve(RECOMMENDATION, run_id))
    manifest_digest = registry.add(manifest, onnx, run_id=run_id, card="# Recommendation\n")
    forget_packages(tmp_path)
    digests = {"digest": manifest.model_digest, "manifest_digest": manifest_digest}
    found = registry.load(RECOMMENDATION, 1, **digests, kind=RecommendationManifest)
    assert found == (manifest, onnx)
    assert registry.manifest(RECOMMENDATION, 1, kind=RecommendationManifest) == manifest
    assert registry.manifest(MODEL_NAME, 1).model_name == MODEL_NAME
    top = RecommenderModel(*found).recommend(np.array([3, 4]), np.ones(2, np.float32), np.ones(150, np.bool_), k=5)
    answer = mlflow.pyfunc.load_model("models:/recommendation/1").predict(
        {
            "items": np.array([3, 4]),
            "weights": np.ones(2, dtype=np.float32),
            "mask": np.ones(150, dtype=np.bool_),
            "segment": np.array([0]),
            "popularity": np.ones(1, dtype=np.float32),
            "k": np.array([5]),
        }
    )
    assert answer["top"].tolist() == top.items.tolist()
    (data,) = (use.dataset for use in mlflow.MlflowClient().get_run(run_id).inputs.dataset_inputs)
    assert (data.name, json.loads(data.profile)) == ("interactions", {"rows": 1_000, "sha256": "d" * 64})


def test_a_run_keeps_parameters_metrics_report_card_and_the_data_it_came_from(
    registry: Registry, mlflow: ModuleType, tmp_path: Path
) -> None:
    report = tmp_path / "made" / "report.html"
    report.parent.mkdir()
    report.write_text("<p>good</p>")
    run_id = registry.begin(MODEL_NAME, parameters={"C": 1.0}, tags={"reason": "drift"})
    registry.log_data(run_id, DataSource("d" * 64, "archive", BEGIN, END, 100, 3))
    manifest = manifest_of(registry.reserve(MODEL_NAME, run_id))
    registry.add(manifest, onnx_bytes(), run_id=run_id, card="# Fraud\n", artefacts=report.parent)
    run = mlflow.MlflowClient().get_run(run_id)
    assert run.data.params == {"C": "1.0"}
    assert run.data.tags["reason"] == "drift"
    assert run.data.metrics == manifest.metrics
    (data,) = (use.dataset for use in run.inputs.dataset_inputs)
    assert json.loads(data.source) == {
        "archive": "archive",
        "first_at": "2026-01-01T00:00:00+00:00",
        "last_at": "2026-02-01T00:00:00+00:00",
    }
    assert json.loads(data.profile) == {"rows": 100, "frauds": 3, "sha256": "d" * 64}
    assert mlflow.MlflowClient().get_experiment(run.info.experiment_id).name == "headrace-fraud"
    assert stored_in_mlflow(tmp_path, "report.html").read_text() == "<p>good</p>"
    assert stored_in_mlflow(tmp_path, "card.md").read_text() == "# Fraud\n"


def test_versions_tell_what_each_was_made_from(registry: Registry) -> None:
    first, manifest_digest = register(registry)
    register(registry, metrics={"average_precision": 0.5})
    one, two = registry.versions(MODEL_NAME)
    assert (one.number, two.number) == (1, 2)
    assert one.tags == {
        "model_digest": first.model_digest,
        "manifest_digest": manifest_digest,
        "data_digest": first.data_digest,
        "feature_version": first.feature_version,
        "code_commit": "abc1234",
    }
    assert two.metrics == {"average_precision": 0.5}
    assert two.report.endswith("/report")


def test_a_refused_run_gives_its_number_to_nobody(registry: Registry, mlflow: ModuleType) -> None:
    run_id = registry.begin(MODEL_NAME, parameters={}, tags={})
    assert registry.reserve(MODEL_NAME, run_id) == 1
    registry.fail(run_id, "see http://me:secret@archive/1")
    assert registry.versions(MODEL_NAME) == []
    assert register(registry)[0].model_version == 2
    run = mlflow.MlflowClient().get_run(run_id)
    assert (run.info.status, run.data.tags["refused"]) == ("FAILED", "see http://archive/1")
    assert [version.version for version in mlflow.MlflowClient().search_model_versions("name = 'fraud'")] == [2]


def test_a_number_that_was_only_reserved_is_no_version(registry: Registry) -> None:
    run_id = registry.begin(MODEL_NAME, parameters={}, tags={})
    number = registry.reserve(MODEL_NAME, run_id)
    assert registry.versions(MODEL_NAME) == []
    with pytest.raises(ModelIntegrityError, match="has no fraud 1"):
        registry.load(MODEL_NAME, number, digest="0" * 64)


def test_a_new_mlflow_does_not_give_out_the_numbers_of_packages(registry: Registry, tmp_path: Path) -> None:
    register(registry)
    register(registry)
    moved = local_registry(tmp_path / "moved")
    (tmp_path / "models").rename(tmp_path / "moved" / "models")
    assert register(moved)[0].model_version == 3


@pytest.mark.parametrize("file", ["model.onnx", "manifest.json"])
def test_a_damaged_package_is_fetched_again_and_healed(
    registry: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture, file: str
) -> None:
    manifest, manifest_digest = register(registry)
    flip_a_byte(tmp_path / "models" / "fraud" / "1" / file)
    for _ in range(2):
        found = registry.load(MODEL_NAME, 1, digest=manifest.model_digest, manifest_digest=manifest_digest)
        assert found == (manifest, onnx_bytes())
    assert [record.levelno for record in caplog.records if file in record.getMessage()] == [logging.ERROR]


@pytest.mark.parametrize("file", ["model.onnx", "manifest.json"])
def test_one_flipped_byte_in_mlflow_is_refused_and_never_kept(registry: Registry, tmp_path: Path, file: str) -> None:
    manifest, manifest_digest = register(registry)
    forget_packages(tmp_path)
    flip_a_byte(stored_in_mlflow(tmp_path, file))
    with pytest.raises(ModelIntegrityError, match=file):
        registry.load(MODEL_NAME, 1, digest=manifest.model_digest, manifest_digest=manifest_digest)
    assert registry.packages.versions(MODEL_NAME) == []


def test_a_locked_database_is_named_within_seconds_and_the_package_still_loads(
    registry: Registry, tmp_path: Path
) -> None:
    manifest, _ = register(registry)
    holder = sqlite3.connect(tmp_path / "mlflow.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(RegistryUnavailableError, match=r"mlflow\.db cannot be used.*locked"):
            registry.versions(MODEL_NAME)
        assert registry.load(MODEL_NAME, 1, digest=manifest.model_digest)[0] == manifest
    finally:
        holder.close()
    assert len(registry.versions(MODEL_NAME)) == 1


def test_a_database_that_is_none_is_named_at_once(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"not a database, " * 64)
    with pytest.raises(RegistryUnavailableError, match=r"mlflow\.db cannot be used.*not a database"):
        Registry(tmp_path, tracking_uri=None).begin(MODEL_NAME, parameters={}, tags={})


def test_runs_that_reserve_at_once_get_numbers_of_their_own(registry: Registry, tmp_path: Path) -> None:
    def numbers(of: Registry) -> list[int]:
        run_id = of.begin(MODEL_NAME, parameters={}, tags={})
        return [of.reserve(MODEL_NAME, run_id) for _ in range(5)]

    with ThreadPoolExecutor() as threads:
        found = threads.map(numbers, (registry, local_registry(tmp_path)))
    assert sorted(itertools.chain(*found)) == list(range(1, 11))


def test_a_service_loads_its_package_without_importing_mlflow(registry: Registry, tmp_path: Path) -> None:
    manifest, _ = register(registry)
    script = (
        "import sys; from pathlib import Path; from shared.models.registry import Registry;"
        f"Registry(Path({str(tmp_path)!r}), tracking_uri='http://127.0.0.1:1').load("
        f"'fraud', 1, digest={manifest.model_digest!r});"
        "sys.exit('mlflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


def test_mlflow_prints_nothing_reports_nothing_and_leaves_the_environment_alone(tmp_path: Path) -> None:
    local_registry(tmp_path)
    script = (
        "import os; from pathlib import Path;"
        "from tests.models import local_registry, register;"
        f"registry = local_registry(Path({str(tmp_path)!r})); register(registry);"
        "from mlflow.telemetry import get_telemetry_client; assert get_telemetry_client() is None;"
        "print(*(name for name in os.environ if 'MLFLOW' in name))"
    )
    # On a build machine or in a test MLflow reports nothing anyway.
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "\n", "")
