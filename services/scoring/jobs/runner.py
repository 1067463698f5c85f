"""The jobs of this instance: each runs in a process of its own, a few at once."""

import contextlib
import fcntl
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from services.scoring.counting import count_file
from services.scoring.jobs.folder import JobFolder, Order, State, Status, jobs_in
from shared.contracts.ids import new_event_id
from shared.intake.problems import NotTakenError
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.logs import fields

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.2
_RETRY_SECONDS = 5.0
_STOP_SECONDS_MAX = 10.0
_EXPIRY_SECONDS = 60.0
_CODE = Path(__file__).parents[3]
_FILLING = ".filling-"
_LOCK = ".lock"
_JOB_ID = re.compile("[0-9a-f-]{36}")
_INTERRUPTED = "the service stopped while it ran; submit it again"


class JobLimits(NamedTuple):
    """How many jobs run at once, how many more may wait, and how long what came of them is kept."""

    running_max: int
    waiting_max: int
    kept_for: timedelta


class _Running(NamedTuple):
    """A job and the process that does it."""

    folder: JobFolder
    process: subprocess.Popen[bytes]


class JobRunner:
    """A worker that starts, watches and ends jobs; the rest may be called from any thread.

    Jobs stand below `<home>/jobs/<instance>`. Those that were running when their instance ended are marked interrupted
    by the next one that starts; those that were waiting run when their own instance comes back.
    """

    name = "jobs"

    def __init__(self, home: Path, clock: Clock, limits: JobLimits, *, instance: str, tracking_uri: str | None) -> None:
        """Wire it; `home`, `tracking_uri`: where the models are, as Registry says."""
        self._root = home.absolute() / "jobs"
        self._own = self._root / instance
        self._clock = clock
        self._limits = limits
        given = {"HEADRACE_HOME": str(home.absolute()), "MLFLOW_TRACKING_URI": tracking_uri}
        self._environment = os.environ | {name: value for name, value in given.items() if value is not None}
        self._lock = threading.Lock()
        self._filling = 0
        self._waiting: list[JobFolder] = []
        self._running: list[_Running] = []
        self._expired_at_seconds = clock.monotonic_seconds()
        self._problem: str | None = None

    def problem(self) -> str | None:
        return self._problem

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self._own.mkdir(parents=True, exist_ok=True)
                with _held(self._own) as is_ours:
                    if is_ours:
                        self._work(stop)
                    else:
                        self._problem = f"another process does the jobs of {self._own}: HEADRACE_INSTANCE must differ"
            except OSError as error:
                log.error("jobs wait: %s", error)  # noqa: TRY400 - the text says it all
            stop.wait(_RETRY_SECONDS)

    @contextlib.contextmanager
    def filling(self) -> Iterator[JobFolder]:
        """Yield an empty folder for a new job; unless `submit` takes it, it is removed.

        Raises:
            NotTakenError: as many jobs as may are waiting.
        """
        with self._lock:
            if self._filling + len(self._waiting) >= self._limits.waiting_max:
                raise NotTakenError("busy", f"{self._limits.waiting_max} jobs are waiting")
            self._filling += 1
        path = self._own / f"{_FILLING}{new_event_id(self._clock.now())}"
        try:
            path.mkdir(parents=True)
            yield JobFolder(path)
        finally:
            shutil.rmtree(path, ignore_errors=True)
            with self._lock:
                self._filling -= 1

    def submit(self, filled: JobFolder, order: Order) -> JobFolder:
        """Take a folder that holds its payments; return the job, which waits."""
        filled.write(order)
        filled.write(Status(state="waiting", submitted_at=self._clock.now()))
        job = JobFolder(self._own / filled.job_id.removeprefix(_FILLING))
        with self._lock:
            filled.path.rename(job.path)
            self._waiting.append(job)
        return job

    def find(self, job_id: str) -> JobFolder:
        """Return a job of any instance; raises FileNotFoundError when there is none of that id, or none any more."""
        for root in self._root.iterdir() if _JOB_ID.fullmatch(job_id) else ():
            if (root / job_id).is_dir():
                return JobFolder(root / job_id)
        raise FileNotFoundError(job_id)

    def _work(self, stop: threading.Event) -> None:
        self._problem = None
        self._recover()
        try:
            while not stop.is_set():
                self._cancel()
                self._end()
                self._start()
                self._expire()
                stop.wait(_POLL_SECONDS)
        finally:
            for running in list(self._running):
                self._give_up(running, "interrupted", _INTERRUPTED)

    def _recover(self) -> None:
        """Tell what became of the jobs of instances that are gone, this one's last life included."""
        for root in self._root.iterdir():
            with _held(root) if root != self._own else contextlib.nullcontext(True) as is_gone:
                for job in jobs_in(root) if is_gone else ():
                    if job.status.state == "running":
                        self._finish(job, "interrupted", _INTERRUPTED)
        with self._lock:
            for path in self._own.glob(f"{_FILLING}*") if self._filling == 0 else ():
                shutil.rmtree(path, ignore_errors=True)
            self._waiting = [job for job in jobs_in(self._own) if job.status.state == "waiting"]

    def _cancel(self) -> None:
        for running in list(self._running):
            if running.folder.is_cancelled:
                self._give_up(running, "cancelled")
        for job in [job for job in self._waiting if job.is_cancelled]:
            self._finish(job, "cancelled")
            self._waiting.remove(job)

    def _start(self) -> None:
        while self._waiting and len(self._running) < self._limits.running_max:
            job = self._waiting[0]
            job.write(replace(job.status, state="running", started_at=self._clock.now()))
            with job.log.open("wb") as output:
                process = subprocess.Popen(  # noqa: S603 - this same program
                    [sys.executable, "-m", "services.scoring.jobs", str(job.path)],
                    cwd=_CODE,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            self._running.append(_Running(job, process))
            self._waiting.remove(job)

    def _end(self) -> None:
        """Tell what became of the processes that have ended."""
        for running in [running for running in self._running if running.process.poll() is not None]:
            job, status = running.folder, running.process.returncode
            if status == 0:
                self._finish(job, "done")
            else:
                text = job.problem or f"its process ended with status {status}"
                log.warning("a job failed: %s", text, **fields(job_id=job.job_id, output=str(job.log)))
                self._finish(job, "failed", text)
            self._running.remove(running)

    def _give_up(self, running: _Running, state: State, problem: str | None = None) -> None:
        _end_process(running.process)
        self._finish(running.folder, state, problem)
        self._running.remove(running)

    def _expire(self) -> None:
        now_seconds = self._clock.monotonic_seconds()
        if now_seconds - self._expired_at_seconds < _EXPIRY_SECONDS:
            return
        self._expired_at_seconds = now_seconds
        for root in self._root.iterdir():
            for job in jobs_in(root):
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    finished_at = job.status.finished_at
                    if finished_at is not None and self._clock.now() - finished_at > self._limits.kept_for:
                        job.remove()

    def _finish(self, job: JobFolder, state: State, problem: str | None = None) -> None:
        job.forget_payments()
        # Its process serves no metrics; what it did is counted here.
        count_file(job.progress.verdicts)
        job.write(replace(job.status, state=state, finished_at=self._clock.now(), problem=problem))
        metrics.JOBS.labels(state).inc()


@contextlib.contextmanager
def _held(root: Path) -> Iterator[bool]:
    """Hold the lock of an instance's jobs, unless another process does; tell whether it is held now."""
    if not root.is_dir():
        yield False
        return
    with (root / _LOCK).open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _end_process(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
