"""Workers: every call is answered, whatever happens to the one that runs it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import dask
import distributed
import numpy as np
import pytest

from services.training.refusal import RefusedError
from services.training.search.backends import BackendName, workers
from services.training.search.clusters import Lost


class Ask(NamedTuple):
    number: int
    deadly: bool = False


class Shared(NamedTuple):
    """marks: a folder that calls leave a mark in."""

    values: np.ndarray
    marks: Path


def total(shared: Shared, ask: Ask) -> float:
    if ask.deadly:
        os._exit(1)
    return float(shared.values.sum()) + ask.number


def total_unless_first(shared: Shared, ask: Ask) -> float:
    """The first of all calls takes its worker along."""
    try:
        (shared.marks / "first").touch(exist_ok=False)
    except FileExistsError:
        return total(shared, ask)
    os._exit(1)


def total_with_mark(shared: Shared, ask: Ask) -> float:
    answer = total(shared, ask)
    (shared.marks / str(ask.number)).touch()
    return answer


def process_of(_shared: None, _ask: Ask) -> int:
    return os.getpid()


def asked(count: int, deadly: int | None = None) -> Iterator[Ask]:
    return (Ask(number, deadly=number == deadly) for number in range(count))


@pytest.mark.parametrize("backend", ["local", "dask"])
def test_a_dead_worker_costs_the_call_that_killed_it_and_no_other(backend: BackendName, tmp_path: Path) -> None:
    shared = Shared(np.ones(300_000), tmp_path)
    with workers(backend, 2) as started:
        answers = dict(started.results(total, shared, asked(6, deadly=1)))
    lost = answers.pop(Ask(1, deadly=True))
    assert isinstance(lost, Lost)
    assert "worker" in lost.reason
    assert answers == {Ask(number): 300_000.0 + number for number in (0, 2, 3, 4, 5)}


def test_a_call_whose_worker_died_once_is_run_again(tmp_path: Path) -> None:
    with workers("local", 2) as started:
        answers = dict(started.results(total_unless_first, Shared(np.ones(10), tmp_path), asked(4)))
    assert answers == {Ask(number): 10.0 + number for number in range(4)}


@pytest.mark.parametrize("jobs", [1, 2])
def test_calls_wait_with_the_caller_save_one_a_worker(jobs: int, tmp_path: Path) -> None:
    ended_when_taken = []

    def watched() -> Iterator[Ask]:
        for ask in asked(8):
            ended_when_taken.append(len(list(tmp_path.iterdir())))
            yield ask

    with workers("local", jobs) as started:
        assert len(list(started.results(total_with_mark, Shared(np.ones(10), tmp_path), watched()))) == 8
    assert all(taken - ended <= 2 * jobs for taken, ended in enumerate(ended_when_taken, start=1))


def test_a_library_that_is_not_installed_is_named_with_the_command() -> None:
    with pytest.raises(RefusedError, match=r"pip install 'headrace\[ray\]'") as caught, workers("ray", 1):
        pass
    assert caught.value.code == "missing_backend"


def test_dask_takes_the_scheduler_it_is_told_of() -> None:
    running = distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, protocol="tcp://", host="127.0.0.1", dashboard_address=None
    )
    with running, dask.config.set({"scheduler-address": running.scheduler_address}), workers("dask", 1) as started:
        assert {process for _, process in started.results(process_of, None, asked(2))} == {os.getpid()}


def test_a_scheduler_that_does_not_answer_is_named() -> None:
    config = {"scheduler-address": "tcp://127.0.0.1:1", "distributed.comm.timeouts.connect": "100ms"}
    with (
        dask.config.set(config),
        pytest.raises(
            RefusedError, match=r"no dask scheduler with a worker answers at tcp://127.0.0.1:1: .*unset DASK_SCHED"
        ) as caught,
        workers("dask", 1),
    ):
        pass
    assert caught.value.code == "backend"
