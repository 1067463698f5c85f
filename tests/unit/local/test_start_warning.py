"""A state that must be rebuilt does not keep the platform from starting: it is rebuilt while everything runs."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI

from services.features.app import build
from services.features.settings import FeaturesSettings
from services.local.errors import ProcessFailedError
from services.local.processes import STATE_CHECK, SupervisedProcess, http_problem
from services.local.supervisor import Supervisor
from shared.bus.memory import MemoryBus
from shared.runtime.clock import SystemClock
from shared.runtime.service import Service, add_operations_endpoints
from shared.store.memory import MemoryStore

LOST = "the state was lost: run `headrace rebuild`"


@contextlib.contextmanager
def answering(problems: Mapping[str, str]) -> Iterator[str]:
    """A service that is not ready for these reasons; yields its address."""
    checks: dict[str, Callable[[], str | None]] = {name: partial(str, text) for name, text in problems.items()}
    service = Service(name="features", app=FastAPI(), checks=checks)
    add_operations_endpoints(service)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = uvicorn.Server(uvicorn.Config(service.app, log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.mark.parametrize(
    ("problems", "keeps_from_starting"),
    [
        ({}, None),
        ({"state": LOST}, None),
        ({"store": "Redis does not answer"}, "store: Redis does not answer"),
        ({"store": "Redis does not answer", "state": LOST}, f"store: Redis does not answer; state: {LOST}"),
    ],
)
def test_only_the_state_is_excused(problems: dict[str, str], keeps_from_starting: str | None) -> None:
    with answering(problems) as url:
        assert http_problem(url, excused={STATE_CHECK}) == keeps_from_starting
        assert (http_problem(url) is None) is (not problems)


def test_a_service_that_does_not_answer_is_not_excused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    assert "does not answer" in (http_problem(url, excused={STATE_CHECK}) or "")


def test_the_excused_check_is_one_that_features_makes() -> None:
    clock = SystemClock()
    features = build(FeaturesSettings(), MemoryBus(partitions=1), MemoryStore(clock), clock)
    assert STATE_CHECK in features.checks


def started_with(warning: str | None, problem: str | None, log_path: Path) -> list[str]:
    """Return what is said while a process of that warning and that problem is waited for."""
    process = SupervisedProcess(
        "features",
        ["sleep", "600"],
        log_path=log_path,
        environment=os.environ,
        problem=lambda: problem,
        warning=lambda: warning,
    )
    said: list[str] = []
    supervisor = Supervisor()
    supervisor.start(process)
    try:
        supervisor.wait_ready([process], seconds_max=0.0, say=said.append)
    finally:
        supervisor.stop()
    return said


def test_a_warning_is_said_once_in_the_place_of_ready(tmp_path: Path) -> None:
    assert started_with(LOST, None, tmp_path / "log") == [f"WARNING: features: {LOST}"]
    (line,) = started_with(None, None, tmp_path / "log")
    assert line.startswith("features is ready after")


def test_a_warning_excuses_no_problem(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailedError, match="features: Redis does not answer"):
        started_with(LOST, "Redis does not answer", tmp_path / "log")
