"""Which operating-system process a process id means: ids are reused, an id and its start time together are not.

Imports nothing but the standard library: the watchdog starts with every demo and must be quick.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

_POLL_SECONDS = 0.02
_STATE, _START_TICKS = 0, 19  # fields 3 and 22 of /proc/<pid>/stat, counted behind the command's name


class ProcessIdentity(NamedTuple):
    """One process, never mistaken for a later one with the same id."""

    pid: int
    started: str


class Stoppable(NamedTuple):
    """A process to stop, and what people call it."""

    name: str
    identity: ProcessIdentity


def identify(pid: int) -> ProcessIdentity | None:
    """Return the identity of the process that has `pid` now; None when there is none, or it has ended."""
    if sys.platform == "linux":
        return _identify_linux(pid)
    return _identify_posix(pid)


def alive(identity: ProcessIdentity) -> bool:
    """Tell whether this very process still runs."""
    return identify(identity.pid) == identity


def kill_group(identity: ProcessIdentity) -> None:
    """End the process and its process group at once, if it still is that process."""
    if alive(identity):
        with contextlib.suppress(ProcessLookupError):  # ended since we looked
            os.killpg(identity.pid, signal.SIGKILL)


def stop_all(processes: Sequence[Stoppable], *, grace_seconds: float, killed: Callable[[str], None]) -> list[str]:
    """Ask every process to stop, in this order, wait for all, and kill those that take longer than the grace.

    killed: told the name of each that had to be killed.
    Returns the names of those that were running.
    """
    running = [process for process in processes if _ask_to_stop(process.identity)]
    deadline = time.monotonic() + grace_seconds
    while _any_alive(running) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    for process in running:
        if alive(process.identity):
            killed(process.name)
            kill_group(process.identity)
    return [process.name for process in running]


def _ask_to_stop(identity: ProcessIdentity) -> bool:
    if not alive(identity):
        return False
    try:
        os.kill(identity.pid, signal.SIGTERM)
    except ProcessLookupError:
        return False
    return True


def _any_alive(processes: Iterable[Stoppable]) -> bool:
    return any(alive(process.identity) for process in processes)


def _identify_linux(pid: int) -> ProcessIdentity | None:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    # A zombie has ended and only waits for its parent to ask.
    return None if fields[_STATE] in "ZX" else ProcessIdentity(pid, f"{boot}/{fields[_START_TICKS]}")


def _identify_posix(pid: int) -> ProcessIdentity | None:
    ps = shutil.which("ps") or "/bin/ps"
    answer = subprocess.run(  # noqa: S603 - a fixed command and a number
        [ps, "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = answer.stdout.strip().partition(" ")
    return None if not started or state.startswith("Z") else ProcessIdentity(pid, started.strip())
