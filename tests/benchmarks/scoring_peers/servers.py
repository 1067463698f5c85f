"""The peers that speak HTTP: how each is started, asked, and understood. They get the features in the request."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.base import clone

from services.local.ports import LOOPBACK
from services.local.processes import ROOT, SupervisedProcess
from tests.benchmarks.http_load import post
from tests.benchmarks.served_model import Learnt, Version

ENVIRONMENTS = ROOT / ".bench" / "scoring-peers"
PACKAGE = __package__
PORTS = 3
"""What a peer may need."""
PROBE_SECONDS_MAX = 1.0
ONNX_FILE, ROWS_FILE, MODEL_FILE = "model.onnx", "rows.npz", "model.joblib"


class PeerFailedError(Exception):
    """A peer has no environment, or its model could not be trained there."""


class Peer(NamedTuple):
    """One server.

    environment: its folder below ENVIRONMENTS. packages: whose versions are told with its figures.
    command: from its executables, its own folder and PORTS ports to what runs it; its endpoint `path` is on the first.
    body: from a row of features to a request's body. score: from an answer's body to the probability of fraud.
    takes_graph: it serves our ONNX file; else scikit-learn's boosting, behind the preparation of the features.
    """

    key: str
    name: str
    environment: str
    packages: tuple[str, ...]
    command: Callable[[Path, Path, Sequence[int]], list[str]]
    path: str
    body: Callable[[Sequence[float]], object]
    score: Callable[[bytes], float]
    ready_path: str
    takes_graph: bool = False

    @property
    def executables(self) -> Path:
        return ENVIRONMENTS / self.environment / "bin"

    @property
    def title(self) -> str:
        """Return its name with the versions of its packages."""
        (library,) = (self.executables.parent / "lib").glob("python3*/site-packages")
        found = {d.metadata["Name"].lower(): d.version for d in distributions(path=[str(library)])}
        return f"{self.name} ({', '.join(f'{package} {found[package]}' for package in self.packages)})"

    def requests(self, rows: npt.NDArray[np.float32], count: int) -> list[bytes]:
        """Return `count` requests about `rows` in turn, which it takes as `rows_of` returns them."""
        bodies = [post(self.path, msgspec.json.encode(self.body(row))) for row in rows.tolist()]
        return [bodies[number % len(bodies)] for number in range(count)]


def _fastapi(executables: Path, _folder: Path, ports: Sequence[int]) -> list[str]:
    app = f"{PACKAGE}.fastapi_sklearn:app"
    return [str(executables / "uvicorn"), app, "--host", LOOPBACK, "--port", str(ports[0]), "--no-access-log"]


def _bentoml(executables: Path, _folder: Path, ports: Sequence[int]) -> list[str]:
    service = f"{PACKAGE}.bentoml_onnx:FraudScores"
    return [str(executables / "bentoml"), "serve", service, "--host", LOOPBACK, "--port", str(ports[0])]


def _mlserver(executables: Path, folder: Path, ports: Sequence[int]) -> list[str]:
    """Write its settings, too; in one process, which is faster than its default of a second one for the model."""
    named = dict(zip(("http_port", "grpc_port", "metrics_port"), ports, strict=True))
    settings = {"host": LOOPBACK, **named, "parallel_workers": 0, "debug": False}
    (folder / "settings.json").write_text(json.dumps(settings))
    model = {
        "name": "fraud",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": f"./{MODEL_FILE}"},
    }
    (folder / "model-settings.json").write_text(json.dumps(model))
    return [str(executables / "mlserver"), "start", str(folder)]


def _v2_request(row: Sequence[float]) -> object:
    rows = {"name": "rows", "shape": [1, len(row)], "datatype": "FP32", "data": row}
    return {"inputs": [rows], "outputs": [{"name": "predict_proba"}]}


PEERS = (
    Peer(
        "bentoml",
        "BentoML, ONNX",
        "bentoml",
        ("bentoml", "onnxruntime"),
        _bentoml,
        "/score",
        lambda row: {"rows": [row]},
        lambda answer: float(msgspec.json.decode(answer)[0]),
        "/readyz",
        takes_graph=True,
    ),
    Peer(
        "mlserver",
        "MLServer, scikit-learn",
        "mlserver",
        ("mlserver", "scikit-learn"),
        _mlserver,
        "/v2/models/fraud/infer",
        _v2_request,
        lambda answer: float(msgspec.json.decode(answer)["outputs"][0]["data"][1]),
        "/v2/health/ready",
    ),
    Peer(
        "fastapi",
        "FastAPI, scikit-learn",
        "fastapi",
        ("fastapi", "scikit-learn"),
        _fastapi,
        "/score",
        lambda row: {"values": row},
        lambda answer: float(msgspec.json.decode(answer)["score"]),
        "/openapi.json",
    ),
)


def server(peer: Peer, version: Version, learnt: Learnt, folder: Path, ports: Sequence[int]) -> SupervisedProcess:
    """Return a peer's process, which serves the model of `version` on the first of PORTS ports; not started.

    Raises:
        PeerFailedError: its environment is missing, or the model could not be trained in it.
    """
    if not peer.executables.exists():
        raise PeerFailedError(f"{peer.executables} is missing: run `make bench-scoring`, which makes it")
    folder.mkdir()
    if peer.takes_graph:
        (folder / ONNX_FILE).write_bytes(version.onnx)
    else:
        _train(peer, version, learnt, folder)
    url = f"http://{LOOPBACK}:{ports[0]}{peer.ready_path}"
    return SupervisedProcess(
        peer.key,
        peer.command(peer.executables, folder, ports),
        log_path=folder / "log",
        environment=_environment(folder) | {"MODEL": str(folder / (ONNX_FILE if peer.takes_graph else MODEL_FILE))},
        problem=lambda: _unreachable(url),
    )


def bare_server(folder: Path, port: int) -> SupervisedProcess:
    """Return the process of bare_asgi.py, in the environment of this one."""
    options = ["--host", LOOPBACK, "--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    url = f"http://{LOOPBACK}:{port}/"
    return SupervisedProcess(
        "bare",
        [sys.executable, "-m", "uvicorn", f"{PACKAGE}.bare_asgi:app", "--lifespan", "off", *options],
        log_path=folder / "bare.log",
        environment=os.environ,
        problem=lambda: _unreachable(url),
    )


def rows_of(peer: Peer, version: Version, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return rows of features as the peer takes them: as they are, or as the pipeline's boosting does."""
    if peer.takes_graph:
        return rows
    prepared: npt.NDArray[np.float32] = version.pipeline[:-1].transform(rows)
    return prepared


def _train(peer: Peer, version: Version, learnt: Learnt, folder: Path) -> None:
    """Let scikit-learn there fit what our boosting was fitted on."""
    preparation, boosting = clone(version.pipeline[:-1]), version.pipeline[-1]
    np.savez(
        folder / ROWS_FILE,
        rows=preparation.fit_transform(learnt.rows, learnt.frauds),
        frauds=learnt.frauds,
        parameters=json.dumps(boosting.get_params()),
    )
    arguments = [str(folder / ROWS_FILE), str(folder / MODEL_FILE)]
    command = [str(peer.executables / "python"), "-m", f"{PACKAGE}.train", *arguments]
    child = subprocess.run(command, cwd=ROOT, env=_environment(folder), capture_output=True, text=True, check=False)
    if child.returncode != 0:
        raise PeerFailedError(f"{peer.name} could not train: {child.stderr[-2_000:]}")


def _environment(folder: Path) -> dict[str, str]:
    """One thread, which is the fastest for single rows; BentoML keeps its home here and sends no usage reports."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "BENTOML_HOME": str(folder),
        "BENTOML_DO_NOT_TRACK": "True",
    }


def _unreachable(url: str) -> str | None:
    try:
        answer = httpx.get(url, timeout=PROBE_SECONDS_MAX)
    except httpx.HTTPError as error:
        return f"{url} does not answer: {error}"
    return None if answer.is_success else f"{url} answers {answer.status_code}"
