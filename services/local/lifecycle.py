"""`headrace up` and `headrace down`: a platform that stays, found again through its state file."""

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from services.local.addresses import PREFERRED_PORTS, Addresses
from services.local.errors import PlatformError
from services.local.identity import identify, stop_all
from services.local.opening import open_platform
from services.local.platform import LocalPlatform, Platform
from services.local.processes import STOP_SECONDS_MAX
from services.local.replicas import replicas_of
from services.local.state import PlatformState, ProcessEntry, forget_state, read_state, write_state
from services.local.supervisor import Say, uninterrupted

_POLL_SECONDS = 0.5


class Down(NamedTuple):
    """What `bring_down` found, by name, in the order of stopping."""

    stopped: list[str]
    ended_before: list[str]


def bring_up(
    home: Path, say: Say, show: Callable[[Addresses], None], *, replicas: Mapping[str, int] | None = None
) -> None:
    """Start a platform that stays in `home`, or find the one that runs there, and `show` its addresses.

    replicas: by service, how many processes of it; 1 where none is given.
    Where there is no broker the platform is this process: it then runs until told to stop.

    Raises:
        PlatformError: something could not be started, or has ended, and nothing is left running then; or the platform
            runs already, with other replicas.
    """
    with _only_one(home):
        running = running_platform(home)
        if running is not None:
            _check_same(running, replicas or {})
            say("the platform is up already")
            show(running.addresses)
            return
        _stop_leftovers(home, say)
        opened = open_platform(
            home, say=say, replicas=replicas, preferred_ports=PREFERRED_PORTS, watched=True, detached=True
        )
        with opened as platform:
            platform.start(say)
            show(platform.addresses)
            if not isinstance(platform, Platform):
                with _announced(home, platform.addresses):
                    say("this process is the platform: it runs until Ctrl-C or `headrace down`")
                    _until_failure(platform)


def bring_down(home: Path, say: Say) -> Down:
    """Stop what the state file of `home` names: services first, against the data's way, then Kafka and Redis."""
    state = read_state(home)
    if state is None:
        return Down([], [])
    stopped: list[str] = []
    with uninterrupted():
        for server in (False, True):
            entries = [entry.stoppable() for entry in reversed(state.processes) if entry.server is server]
            stopped += stop_all(
                entries,
                grace_seconds=STOP_SECONDS_MAX,
                killed=lambda name: say(f"{name} took longer than {STOP_SECONDS_MAX:.0f} s to stop and was killed"),
            )
        forget_state(home)
    return Down(stopped, [entry.name for entry in state.processes if entry.name not in stopped])


def running_platform(home: Path) -> PlatformState | None:
    """Return the platform that runs in `home`, if all of it does."""
    state = read_state(home)
    complete = state is not None and state.processes and all(entry.alive() for entry in state.processes)
    return state if complete else None


def _check_same(running: PlatformState, replicas: Mapping[str, int]) -> None:
    for service, count in replicas.items():
        found = len(replicas_of(service, running.addresses.services))
        if found != count:
            raise PlatformError(f"the platform is up with {found} of {service}, not {count}: run `headrace down` first")


def _stop_leftovers(home: Path, say: Say) -> None:
    """Stop what is left of a platform of which some process has ended, so that all of it starts anew."""
    down = bring_down(home, say)
    if down.ended_before:
        say(f"had ended since the last `headrace up`: {', '.join(down.ended_before)} (see {home / 'logs'})")
    if down.stopped:
        say(f"stopped what was left of it: {', '.join(down.stopped)}")


@contextlib.contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Keep a second `up` out while one is at work; the lock goes with this process, however it ends."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "platform.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PlatformError(f"another `headrace up` is at work in {home}; wait for it, or stop it") from error
        yield


@contextlib.contextmanager
def _announced(home: Path, addresses: Addresses) -> Iterator[None]:
    """Let other commands find this very process as the platform."""
    identity = identify(os.getpid())
    if identity is None:
        raise AssertionError("this process runs")
    entry = ProcessEntry(name="headrace", identity=identity, log=str(home / "logs" / "headrace.log"), server=False)
    write_state(home, PlatformState(addresses=addresses, processes=[entry]))
    try:
        yield
    finally:
        forget_state(home)


def _until_failure(platform: LocalPlatform) -> None:
    while not (failures := platform.failures()):
        time.sleep(_POLL_SECONDS)
    raise PlatformError("; ".join(failures))
