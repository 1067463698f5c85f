"""Where calls run: processes of this machine, or dask or ray, on this machine or on many.

A call that fails is its own caller's matter. A worker that dies while it runs a call (out of memory, a crash in
compiled code) must cost that call and no other. joblib alone does this for none of the three: on loky one dead worker
ends all calls under way, its dask backend then waits for ever, and its ray backend hands results out only at the end.
So calls that a dead worker took along are run again alone here, and dask and ray are asked directly (see clusters).

What all calls share is sent once for each use of `results`, not once a call: mapped into memory, scattered, or put
into the object store. Another machine's workers need this package installed, and nothing else.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol, TypeVar

import joblib

from services.training.search.clusters import Cluster, Lost, dask, in_a_line, on_cluster, ray

S = TypeVar("S")
C = TypeVar("C")
R = TypeVar("R")

BackendName = Literal["local", "dask", "ray"]


class Workers(Protocol):
    """Processes that run calls, one call a worker at a time."""

    def results(self, function: Callable[[S, C], R], shared: S, calls: Iterator[C]) -> Iterator[tuple[C, R | Lost]]:
        """Yield each call with what `function(shared, call)` returned, in the order in which they end.

        A call is taken from `calls` when a worker is free for it; on `local`, one more a worker may wait. `function`
        must be importable by name.
        """
        ...


@contextmanager
def workers(name: BackendName, jobs: int) -> Iterator[Workers]:
    """Start workers, and stop them behind the block.

    jobs: how many on this machine; -1 for one a core; 1 on `local` runs calls in this process, which their crash ends.
    dask connects to the scheduler that DASK_SCHEDULER_ADDRESS names and ray to the cluster that RAY_ADDRESS names, and
    then use all of it; without one they start their own.

    Raises:
        RefusedError: missing_backend, the library is not installed; backend, the cluster does not answer.
    """
    count = joblib.cpu_count() if jobs < 0 else jobs
    if name == "local":
        yield _Processes(count)
    else:
        with dask(count) if name == "dask" else ray(count) as cluster:
            yield _Remote(cluster)


class _Remote:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def results(self, function: Callable[[S, C], R], shared: S, calls: Iterator[C]) -> Iterator[tuple[C, R | Lost]]:
        return on_cluster(self._cluster, function, shared, calls)


class _Processes:
    def __init__(self, count: int) -> None:
        self._count = count

    def results(self, function: Callable[[S, C], R], shared: S, calls: Iterator[C]) -> Iterator[tuple[C, R | Lost]]:
        lock = threading.Lock()  # joblib takes tasks from threads of its own
        begun: dict[int, C] = {}

        def tasks() -> Iterator[Any]:
            while True:
                with lock:
                    call = next(calls, None)
                    if call is None:
                        return
                    begun[id(call)] = call
                yield joblib.delayed(_with_key)(id(call), function, shared, call)

        crashed = True
        while crashed:
            try:
                for key, result in _parallel(self._count, tasks()):
                    yield begun.pop(key), result
                crashed = False
            except Exception:  # noqa: BLE001 - a worker died; `begun` tells which calls went with it
                crashed = True
            for call in list(begun.values()):
                yield begun.pop(id(call)), _alone(function, shared, call)


def _alone(function: Callable[[S, C], R], shared: S, call: C) -> R | Lost:
    try:
        # Two processes, since joblib runs a call in this process where one is enough.
        ((_, result),) = _parallel(2, [joblib.delayed(_with_key)(0, function, shared, call)])
    except Exception as error:  # noqa: BLE001 - this call's worker died again
        return Lost(in_a_line(error))
    answer: R = result
    return answer


def _parallel(processes: int, tasks: Iterable[Any]) -> Iterator[tuple[int, Any]]:
    run = joblib.Parallel(
        n_jobs=processes, backend="loky", batch_size=1, pre_dispatch=processes, return_as="generator_unordered"
    )
    results: Iterator[tuple[int, Any]] = run(tasks)
    return results


def _with_key(key: int, function: Callable[[S, C], R], shared: S, call: C) -> tuple[int, R]:
    return key, function(shared, call)
