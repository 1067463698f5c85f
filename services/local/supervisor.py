"""Keeps a set of processes: starts them, waits until all are ready, and stops them all whatever happens."""

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import IO

from services.local.errors import ProcessFailedError
from services.local.identity import ProcessIdentity, Stoppable, stop_all
from services.local.processes import ROOT, STOP_SECONDS_MAX, SupervisedProcess

Say = Callable[[str], None]
"""Takes one line about what happens now."""

_POLL_SECONDS = 0.05
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_Handler = Callable[[int, FrameType | None], object] | int | None


class Supervisor:
    """Owns processes for as long as this process lives, and not longer.

    Should this process be killed, a watchdog of its own ends them. With `outlive` there is no watchdog: they run on.
    """

    def __init__(
        self, *, outlive: bool = False, on_start: Callable[[str, ProcessIdentity], None] | None = None
    ) -> None:
        self._outlive = outlive
        self._on_start = on_start
        self._processes: list[SupervisedProcess] = []
        self._watchdog: subprocess.Popen[str] | None = None

    def start(self, process: SupervisedProcess) -> None:
        """Start a process and own it from now on."""
        process.on_start = lambda identity: self._started(process.name, identity)
        self._processes.append(process)
        process.start()

    def wait_ready(self, processes: Sequence[SupervisedProcess], *, seconds_max: float, say: Say) -> None:
        """Wait until all of `processes` are ready, and say of each when it is, or what is wrong all the same.

        Raises:
            ProcessFailedError: one of the processes ended, or was not ready in time.
        """
        began = time.monotonic()
        pending = {process.name: process for process in processes}
        problems: dict[str, str | None] = {}
        while pending:
            for name, process in list(pending.items()):
                problems[name] = process.problem()
                if problems[name] is None:
                    warning = process.warning()
                    seconds = time.monotonic() - began
                    say(f"{name} is ready after {seconds:.1f} s" if warning is None else f"WARNING: {name}: {warning}")
                    del pending[name]
            if pending and time.monotonic() - began > seconds_max:
                waiting = "; ".join(f"{name}: {problems[name]} (see {p.log_path})" for name, p in pending.items())
                raise ProcessFailedError(f"not ready after {seconds_max:.0f} s: {waiting}")
            if pending:
                time.sleep(_POLL_SECONDS)

    def failures(self) -> list[str]:
        """Tell of every process that has ended although nobody stopped it."""
        endings = []
        for process in self._processes:
            if not process.running():
                try:
                    process.problem()
                except ProcessFailedError as error:
                    endings.append(str(error))
        return endings

    def stop(self, processes: Sequence[SupervisedProcess] | None = None, *, say: Say = lambda _: None) -> list[str]:
        """Stop `processes`, or everything, in the reverse of their start; return the names of what was running."""
        wanted = self._processes if processes is None else processes
        chosen = [process for process in reversed(self._processes) if process in wanted]
        stopped = stop_all(
            [Stoppable(process.name, process.identity) for process in chosen if process.identity],
            grace_seconds=STOP_SECONDS_MAX,
            killed=lambda name: say(f"{name} took longer than {STOP_SECONDS_MAX:.0f} s to stop and was killed"),
        )
        for process in chosen:
            process.stop()  # has ended; takes note of how
            self._processes.remove(process)
        if not self._processes:
            self._dismiss_watchdog()
        return stopped

    def _started(self, name: str, identity: ProcessIdentity) -> None:
        if self._on_start is not None:
            self._on_start(name, identity)
        if not self._outlive:
            pipe = self._watchdog_input()
            pipe.write(f"{identity.pid} {identity.started}\n")
            pipe.flush()

    def _watchdog_input(self) -> IO[str]:
        if self._watchdog is None:
            self._watchdog = subprocess.Popen(
                [sys.executable, "-m", "services.local.watchdog"],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        if self._watchdog.stdin is None:
            raise AssertionError("the watchdog was started with a pipe")
        return self._watchdog.stdin

    def _dismiss_watchdog(self) -> None:
        if self._watchdog is not None:
            self._watchdog_input().close()
            self._watchdog.wait()
            self._watchdog = None


@contextlib.contextmanager
def stop_signals_raise() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into SystemExit while inside, so that everything opened is closed on the way out.

    Ctrl-C does the same by itself. Does nothing outside the main thread, where no handler can be set.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        _restore(before)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ignore every request to stop while inside: stopping is what happens here, and it takes bounded time."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, *_STOP_SIGNALS)}
    try:
        yield
    finally:
        _restore(before)


def _restore(handlers: dict[signal.Signals, _Handler]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
