"""Calls on dask and on ray: as many under way as there are workers, each answered by a future of its own."""

import importlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import Any, NamedTuple, Protocol, TypeVar

from services.training.refusal import RefusedError

S = TypeVar("S")
C = TypeVar("C")
R = TypeVar("R")

WORKERS_SECONDS_MAX = 60.0
"""How long a scheduler may have no worker."""


class Lost(NamedTuple):
    """In the place of a result: the call's worker died, or could not run it at all."""

    reason: str


class Cluster(Protocol):
    """What dask and ray have in common."""

    def width(self) -> int:
        """Return how many calls can run at once."""
        ...

    def send(self, shared: object) -> Any:
        """Bring `shared` to the workers; return what stands for it in `submit`."""
        ...

    def submit(self, function: Callable[..., Any], sent: Any, call: object) -> Any:
        """Begin a call, and return its future."""
        ...

    def ended(self, futures: list[Any]) -> Iterable[Any]:
        """Wait until one of the futures has ended; return those that have."""
        ...

    def result(self, future: Any) -> Any:
        """Return what the call returned; raises what it raised, or what became of its worker."""
        ...


def on_cluster(
    cluster: Cluster, function: Callable[[S, C], R], shared: S, calls: Iterator[C]
) -> Iterator[tuple[C, R | Lost]]:
    """Yield calls with their results, as backends.Workers tells."""
    sent = cluster.send(shared)
    running: dict[Any, C] = {}
    while True:
        free = max(cluster.width(), 1) - len(running)
        for call in islice(calls, max(free, 0)):
            running[cluster.submit(function, sent, call)] = call
        if not running:
            return
        for future in cluster.ended(list(running)):
            call = running.pop(future)
            try:
                result: R | Lost = cluster.result(future)
            except Exception as error:  # noqa: BLE001 - whatever a library makes of a dead worker
                result = Lost(in_a_line(error))
                sent = cluster.send(shared)  # the dead worker may have held the only copy
            yield call, result


def in_a_line(error: Exception) -> str:
    """Return what an error says, short."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]


@contextmanager
def dask(jobs: int) -> Iterator[Cluster]:
    """Connect to the configured scheduler, or start `jobs` processes on this machine.

    Raises:
        RefusedError: as backends.workers.
    """
    library: Any = _imported("distributed", "dask")
    config: Any = importlib.import_module("dask.config")
    address = config.get("scheduler-address", None)
    if address:
        with ExitStack() as opened:
            try:
                client = opened.enter_context(library.Client(address, set_as_default=False))
                client.wait_for_workers(1, timeout=WORKERS_SECONDS_MAX)
            except OSError as error:
                raise RefusedError(
                    "backend",
                    f"no dask scheduler with a worker answers at {address}: {error}; start them, or unset "
                    "DASK_SCHEDULER_ADDRESS",
                ) from error
            yield _Dask(library, client)
        return
    # A call whose worker died is not tried on the next worker, which it would kill too.
    with (
        config.set({"distributed.scheduler.allowed-failures": 0}),
        library.LocalCluster(
            n_workers=jobs, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        library.Client(cluster, set_as_default=False) as client,
    ):
        yield _Dask(library, client)


class _Dask:
    def __init__(self, library: Any, client: Any) -> None:
        self._client = client
        self._running = library.as_completed(loop=client.loop)

    def width(self) -> int:
        return sum(self._client.nthreads().values())

    def send(self, shared: object) -> Any:
        return self._client.scatter(shared, broadcast=True, hash=False)

    def submit(self, function: Callable[..., Any], sent: Any, call: object) -> Any:
        future = self._client.submit(function, sent, call, pure=False)
        self._running.add(future)
        return future

    def ended(self, _futures: list[Any]) -> Iterable[Any]:
        return [next(self._running)]

    def result(self, future: Any) -> Any:
        return future.result()


@contextmanager
def ray(jobs: int) -> Iterator[Cluster]:
    """Connect to the configured cluster, or start one of `jobs` processes on this machine.

    Raises:
        RefusedError: as backends.workers.
    """
    library: Any = _imported("ray", "ray")
    address = os.environ.get("RAY_ADDRESS")
    try:
        if address:
            library.init(address, log_to_driver=False)
        else:
            library.init("local", num_cpus=jobs, include_dashboard=False, log_to_driver=False)
    except ConnectionError as error:
        raise RefusedError(
            "backend", f"no ray cluster answers at {address}: {error}; start it, or unset RAY_ADDRESS"
        ) from error
    try:
        yield _Ray(library)
    finally:
        library.shutdown()


class _Ray:
    def __init__(self, library: Any) -> None:
        self._library = library
        self._remote: dict[Callable[..., Any], Any] = {}

    def width(self) -> int:
        return int(self._library.cluster_resources().get("CPU", 1))

    def send(self, shared: object) -> Any:
        return self._library.put(shared)

    def submit(self, function: Callable[..., Any], sent: Any, call: object) -> Any:
        if function not in self._remote:
            self._remote[function] = self._library.remote(max_retries=0)(function)
        return self._remote[function].remote(sent, call)

    def ended(self, futures: list[Any]) -> Iterable[Any]:
        ended: Iterable[Any] = self._library.wait(futures, num_returns=1)[0]
        return ended

    def result(self, future: Any) -> Any:
        return self._library.get(future)


def _imported(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise RefusedError(
            "missing_backend", f"the {extra} backend is not installed: pip install 'headrace[{extra}]'"
        ) from error
