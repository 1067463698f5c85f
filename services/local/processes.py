"""One supervised operating-system process: started, waited for, stopped, killed, its log kept."""

import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import httpx

from services.local.errors import PlatformError, ProcessFailedError
from services.local.identity import ProcessIdentity, Stoppable, identify, kill_group, stop_all

ROOT = Path(__file__).resolve().parents[2]
"""The checkout: where `services` and `shared` are imported from, and where `deploy` lies."""

STOP_SECONDS_MAX = 20.0
_TAIL_LINES = 20
_PROBE_SECONDS_MAX = 5.0
STATE_CHECK = "state"
"""What features calls, among its problems, a state that must be rebuilt: for that it has to run."""


class SupervisedProcess:
    """A process in a session of its own, so that Ctrl-C in a terminal reaches only who supervises it.

    on_start: told the identity of every process this starts, before anything else happens.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log_path: Path,
        environment: Mapping[str, str],
        problem: Callable[[], str | None],
        warning: Callable[[], str | None] = lambda: None,
    ) -> None:
        """Describe the process; `start` runs it.

        problem: tells in one line what keeps a running process from being ready, or None.
        warning: tells in one line what is wrong all the same when there is no such problem, or None.
        """
        self.name = name
        self.command = list(command)
        self.log_path = log_path
        self.identity: ProcessIdentity | None = None
        self.on_start: Callable[[ProcessIdentity], None] = lambda _: None
        self._environment = dict(environment)
        self.warning = warning
        self._problem = problem
        self._process: subprocess.Popen[bytes] | None = None
        self._log_offset = 0

    def start(self) -> None:
        """Run the process; also again, after it ended.

        Raises:
            PlatformError: it runs already, or its command cannot be run.
        """
        if self.running():
            raise PlatformError(f"{self.name} runs already, as process {self.pid}")
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.log_path.open("ab") as log:
            self._log_offset = log.tell()
            try:
                self._process = subprocess.Popen(  # noqa: S603 - commands are ours
                    self.command,
                    cwd=ROOT,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                raise PlatformError(f"{self.name} cannot be started: {error}") from error
        # It is our child, so its id stays its own until we ask how it ended, even if it has ended already.
        self.identity = identify(self._process.pid)
        if self.identity is not None:
            self.on_start(self.identity)

    @property
    def pid(self) -> int:
        """Process id of the latest start."""
        if self._process is None:
            raise PlatformError(f"{self.name} has not been started")
        return self._process.pid

    def running(self) -> bool:
        """Tell whether the process has been started and not ended."""
        return self._process is not None and self._process.poll() is None

    def problem(self) -> str | None:
        """Tell in one line why the process is not ready, or None when it is.

        Raises:
            ProcessFailedError: it has ended; the message ends with its last log lines.
        """
        if not self.running():
            raise ProcessFailedError(self._ending())
        return self._problem()

    def stop(self) -> None:
        """Ask the process to stop and wait; kill it when it takes too long."""
        if self.identity is not None and self._process is not None:
            stop_all([Stoppable(self.name, self.identity)], grace_seconds=STOP_SECONDS_MAX, killed=lambda _: None)
            self._process.wait()

    def kill(self) -> None:
        """End the process at once, as a crash would; `start` runs it again."""
        if self.identity is not None and self._process is not None:
            kill_group(self.identity)
            self._process.wait()

    def log_tail(self) -> str:
        """Return the last lines logged since the latest start."""
        with self.log_path.open("rb") as log:
            log.seek(self._log_offset)
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])

    def _ending(self) -> str:
        if self._process is None:
            return f"{self.name} has not been started"
        status = self._process.returncode
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        return f"{self.name} {how}; the end of {self.log_path}:\n{self.log_tail()}"


def http_problem(
    base_url: str, *, excused: Collection[str] = (), get: Callable[..., httpx.Response] = httpx.get
) -> str | None:
    """Ask a service's /health/ready; tell in one line what is missing, or None.

    excused: names of checks; where only these find something there is no problem. get: of a client, for who asks often.
    """
    try:
        answer = get(f"{base_url}/health/ready", timeout=_PROBE_SECONDS_MAX)
        problems = answer.json().get("problems", {})
    except httpx.InvalidURL as error:
        return f"{base_url} is no address: {error}"
    except (httpx.HTTPError, ValueError) as error:
        return f"{base_url} does not answer: {error}"
    if answer.is_success or (problems and problems.keys() <= set(excused)):
        return None
    return "; ".join(f"{name}: {problem}" for name, problem in problems.items()) or f"status {answer.status_code}"
