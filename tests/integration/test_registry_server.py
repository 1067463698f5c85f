"""The registry on a real MLflow server: files go through it, and what it does when the server is gone or hangs."""

import os
import socket
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.local.ports import LOOPBACK, choose_ports
from services.local.processes import SupervisedProcess
from services.local.supervisor import Supervisor
from shared.models.manifest import MODEL_NAME
from shared.models.packages import ModelIntegrityError
from shared.models.registry import Registry, RegistryUnavailableError
from shared.models.runs import DataSource
from tests.models import (
    TRAINED_AT,
    flip_a_byte,
    forget_packages,
    local_registry,
    manifest_of,
    onnx_bytes,
    register,
    released,
)

READY_SECONDS_MAX = 120.0


@pytest.fixture
def server(supervisor: Supervisor, tmp_path: Path) -> Iterator[SupervisedProcess]:
    """An MLflow server that keeps everything below `served`; its address is in its name."""
    served = tmp_path / "served"
    local_registry(served)
    port = choose_ports([None])[0]
    url = f"http://{LOOPBACK}:{port}"

    def problem() -> str | None:
        try:
            return None if httpx.get(f"{url}/health", timeout=1.0).is_success else "not healthy"
        except httpx.HTTPError as error:
            return str(error)

    process = SupervisedProcess(
        url,
        [
            *(sys.executable, "-m", "mlflow", "server", "--host", LOOPBACK, "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{served / 'mlflow.db'}"),
            *("--artifacts-destination", str(served / "files")),
        ],
        log_path=tmp_path / "mlflow.log",
        environment={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        problem=problem,
    )
    supervisor.start(process)
    supervisor.wait_ready([process], seconds_max=READY_SECONDS_MAX, say=print)
    yield process
    supervisor.stop([process])


@pytest.mark.servers
def test_models_go_through_a_server_and_outlive_it(
    server: SupervisedProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, scoring = (Registry(tmp_path / name, tracking_uri=server.name) for name in ("training", "scoring"))
    manifest, manifest_digest = register(training)
    training.show_champion(released())
    assert [version.number for version in training.versions(MODEL_NAME)] == [1]
    assert list((tmp_path / "served" / "files").rglob("model.onnx")) != []
    digests = {"digest": manifest.model_digest, "manifest_digest": manifest_digest}
    assert scoring.load(MODEL_NAME, 1, **digests) == (manifest, onnx_bytes())

    run_id = training.begin(MODEL_NAME, parameters={}, tags={})
    server.kill()
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for asked in (
        lambda: training.log_data(run_id, DataSource("d" * 64, "archive", TRAINED_AT, TRAINED_AT, 100, 3)),
        lambda: training.reserve(MODEL_NAME, run_id),
        lambda: training.versions(MODEL_NAME),
        lambda: training.show_champion(released()),
        lambda: register(Registry(tmp_path / "another", tracking_uri=server.name)),
    ):
        with pytest.raises(RegistryUnavailableError, match=f"MLflow at {server.name} cannot be used"):
            asked()
    assert scoring.load(MODEL_NAME, 1, **digests) == (manifest, onnx_bytes())
    forget_packages(tmp_path / "scoring")
    with pytest.raises(RegistryUnavailableError, match="MLFLOW_TRACKING_URI"):
        scoring.load(MODEL_NAME, 1, **digests)


def test_a_server_that_takes_connections_and_never_answers_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.create_server((LOOPBACK, 0)) as silent:
        registry = Registry(tmp_path, tracking_uri=f"http://{LOOPBACK}:{silent.getsockname()[1]}")
        with pytest.raises(RegistryUnavailableError, match=r"time(d )?out"):
            registry.begin(MODEL_NAME, parameters={}, tags={})


def test_a_damaged_package_is_not_served_while_mlflow_is_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    manifest = manifest_of(1)
    registry = Registry(tmp_path, tracking_uri=f"http://{LOOPBACK}:1")
    flip_a_byte(registry.packages.add(manifest, onnx_bytes()) / "model.onnx")
    with pytest.raises(ModelIntegrityError, match=r"model\.onnx has SHA-256 .* cannot be fetched again"):
        registry.load(MODEL_NAME, 1, digest=manifest.model_digest)


def test_the_password_of_an_address_is_told_to_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = Registry(tmp_path, tracking_uri=f"http://me:top@secret@{LOOPBACK}:1/mlflow")
    assert registry.address == f"http://{LOOPBACK}:1/mlflow"
    with caplog.at_level("DEBUG"), pytest.raises(RegistryUnavailableError) as raised:
        registry.versions(MODEL_NAME)
    told = str(raised.value) + "".join(traceback.format_exception(raised.value)) + caplog.text
    assert "secret" not in told
