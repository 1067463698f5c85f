"""Stopping stops the process that was meant, and no other."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from services.local.identity import ProcessIdentity, Stoppable, alive, identify, kill_group, stop_all

SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


@pytest.fixture
def spawned() -> Iterator[list[subprocess.Popen[bytes]]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def spawn(spawned: list[subprocess.Popen[bytes]], program: str) -> ProcessIdentity:
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True)
    spawned.append(process)
    assert process.stdout is not None
    process.stdout.readline()
    identity = identify(process.pid)
    assert identity is not None
    return identity


def test_a_recycled_pid_is_never_signalled(spawned: list[subprocess.Popen[bytes]]) -> None:
    innocent = spawn(spawned, SLEEPER)
    earlier = ProcessIdentity(innocent.pid, "the start of a process that had this id before")
    killed: list[str] = []
    assert stop_all([Stoppable("features", earlier)], grace_seconds=0.0, killed=killed.append) == []
    kill_group(earlier)
    assert killed == []
    assert alive(innocent)
    assert spawned[0].poll() is None


def test_a_process_that_listens_is_asked(spawned: list[subprocess.Popen[bytes]]) -> None:
    identity = spawn(spawned, SLEEPER)
    killed: list[str] = []
    assert stop_all([Stoppable("features", identity)], grace_seconds=30.0, killed=killed.append) == ["features"]
    assert killed == []
    assert not alive(identity)


def test_a_process_that_does_not_listen_is_killed_and_said(spawned: list[subprocess.Popen[bytes]]) -> None:
    identity = spawn(spawned, DEAF)
    killed: list[str] = []
    assert stop_all([Stoppable("features", identity)], grace_seconds=0.1, killed=killed.append) == ["features"]
    assert killed == ["features"]
    spawned[0].wait(timeout=30)


def test_a_process_that_has_ended_has_no_identity(spawned: list[subprocess.Popen[bytes]]) -> None:
    identity = spawn(spawned, SLEEPER)
    spawned[0].kill()
    spawned[0].wait()
    assert identify(identity.pid) is None
