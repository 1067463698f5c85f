"""What no scoring call can do without, each part on its own: features through Redis, a run of the graph; and Feast.

The third part, HTTP, is scoring_peers/bare_asgi.py.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from urllib.parse import urlsplit

import numpy as np

from services.local.processes import ROOT
from shared.contracts.events import Transaction
from shared.features.catalog.fraud import FRAUD
from shared.features.engine import Arrival, FeatureEngine
from shared.features.progress import PROGRESS_KEY
from shared.features.state import REST_ORIGIN
from shared.models.session import OnnxModel
from shared.store.redis import RedisStore
from tests.benchmarks.scoring_peers.servers import ENVIRONMENTS, PACKAGE, PeerFailedError
from tests.benchmarks.served_model import ServedModel, Version

STORE_SECONDS_MAX = 10.0


class Parts:
    """Our own parts, called as the service calls them, by one thread of this process."""

    def __init__(self, served: ServedModel, version: Version) -> None:
        self._engine = FeatureEngine(FRAUD)
        self._store = RedisStore(str(served.platform.addresses.redis), timeout_seconds=STORE_SECONDS_MAX)
        self._model = OnnxModel(version.manifest, version.onnx)
        self._rows = served.learnt.rows

    def features_ms(self, payments: Sequence[Transaction]) -> list[float]:
        """Return how long each payment took: appended to its entities' states, these read, its vector computed."""
        engine, took = self._engine, []
        for payment in payments:
            started = time.perf_counter()
            plan = engine.plan([Arrival(payment, REST_ORIGIN)])
            reads = [*plan.reads, PROGRESS_KEY]
            *states, _ = self._store.append_and_read(plan.appends, reads, expire_after=engine.state_lifetime)
            engine.vectors(plan, states)
            took.append((time.perf_counter() - started) * 1000)
        return took

    def graph_ms(self, calls: int) -> list[float]:
        """Return how long each call of the graph with one row took."""
        took = []
        for row in np.resize(self._rows, (calls, self._rows.shape[1])):
            started = time.perf_counter()
            self._model.scores(row[np.newaxis])
            took.append((time.perf_counter() - started) * 1000)
        return took

    def close(self) -> None:
        self._store.close()


class Feast:
    """The process of scoring_peers/feast_redis.py."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._answer()

    def read_ms(self, reads: int) -> list[float]:
        """Return how long each read of three entities' features took."""
        print(reads, file=self._process.stdin, flush=True)
        took: list[float] = json.loads(self._answer())
        return took

    def _answer(self) -> str:
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise PeerFailedError(f"Feast ended with {self._process.wait()}; its complaint is above")
        return line


@contextmanager
def running_feast(redis_url: str) -> Iterator[Feast]:
    """Run Feast on another database of the Redis-protocol server.

    Raises:
        PeerFailedError: its environment is missing, or it failed.
    """
    python = ENVIRONMENTS / "feast" / "bin" / "python"
    if not python.exists():
        raise PeerFailedError(f"{python} is missing: run `make bench-scoring`, which makes it")
    with subprocess.Popen(
        [str(python), "-m", f"{PACKAGE}.feast_redis", str(urlsplit(redis_url).port)],
        cwd=ROOT,
        env={**os.environ, "FEAST_USAGE": "False"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Feast(process)
        finally:
            if process.stdin:
                process.stdin.close()  # which ends it
