"""A supervised process: its end is reported, it can be killed and started again, and it dies with its owner."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.local.errors import PlatformError, ProcessFailedError
from services.local.identity import alive, identify
from services.local.processes import ROOT, SupervisedProcess
from services.local.supervisor import Supervisor

SECONDS_MAX = 30.0
OWNER = """
import os, sys
from pathlib import Path
from services.local.processes import SupervisedProcess
from services.local.supervisor import Supervisor, stop_signals_raise
log = Path(sys.argv[1])
child = SupervisedProcess("child", ["sleep", "600"], log_path=log, environment=os.environ, problem=lambda: None)
supervisor = Supervisor()
try:
    with stop_signals_raise():
        supervisor.start(child)
        print(child.pid, flush=True)
        sys.stdin.read()
finally:
    supervisor.stop()
"""


def process(tmp_path: Path, program: str, *, problem: str | None = None) -> SupervisedProcess:
    return SupervisedProcess(
        "features",
        [sys.executable, "-c", program],
        log_path=tmp_path / "logs" / "features.log",
        environment=os.environ,
        problem=lambda: problem,
    )


def test_a_process_that_dies_at_start_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    dying = process(tmp_path, "raise SystemExit('setting REDIS_URL: no such host')", problem="not yet")
    supervisor = Supervisor()
    supervisor.start(dying)
    with pytest.raises(ProcessFailedError, match=r"features ended with status 1; .*\nsetting REDIS_URL: no such host"):
        supervisor.wait_ready([dying], seconds_max=SECONDS_MAX, say=print)
    assert "no such host" in supervisor.failures()[0]
    assert supervisor.stop() == []


def test_only_the_latest_start_is_quoted(tmp_path: Path) -> None:
    dying = process(tmp_path, "import os; print(f'process {os.getpid()}')", problem="not yet")
    supervisor = Supervisor()
    for _ in range(2):
        supervisor.start(dying)
        with pytest.raises(ProcessFailedError):
            supervisor.wait_ready([dying], seconds_max=SECONDS_MAX, say=print)
    assert dying.log_tail() == f"process {dying.pid}"
    supervisor.stop()


def test_a_process_that_never_gets_ready_is_reported_with_its_reason(tmp_path: Path) -> None:
    waiting = process(tmp_path, "import time; time.sleep(600)", problem="Kafka does not answer")
    supervisor = Supervisor()
    supervisor.start(waiting)
    with pytest.raises(ProcessFailedError, match=r"features: Kafka does not answer \(see .*features\.log\)"):
        supervisor.wait_ready([waiting], seconds_max=0.0, say=print)
    assert supervisor.stop() == ["features"]
    assert not waiting.running()


def test_a_killed_process_can_be_started_again(tmp_path: Path) -> None:
    with_lives = process(tmp_path, "import time; time.sleep(600)")
    supervisor = Supervisor()
    supervisor.start(with_lives)
    first = with_lives.pid
    with_lives.kill()
    assert "was ended by signal 9" in supervisor.failures()[0]
    with_lives.start()
    assert with_lives.pid != first
    assert supervisor.failures() == []
    with pytest.raises(PlatformError, match="runs already"):
        with_lives.start()
    assert supervisor.stop() == ["features"]


def test_a_missing_command_is_a_clear_error(tmp_path: Path) -> None:
    missing = SupervisedProcess(
        "redis", ["/no/such/server"], log_path=tmp_path / "log", environment={}, problem=lambda: None
    )
    with pytest.raises(PlatformError, match=r"redis cannot be started: .*no/such/server"):
        missing.start()


def test_processes_stop_in_the_reverse_of_their_start(tmp_path: Path) -> None:
    supervisor = Supervisor()
    for name in ("kafka", "features", "scoring"):
        supervisor.start(
            SupervisedProcess(
                name, ["sleep", "600"], log_path=tmp_path / name, environment=os.environ, problem=lambda: None
            )
        )
    assert supervisor.stop() == ["scoring", "features", "kafka"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_nothing_outlives_its_owner_however_that_ends(tmp_path: Path, number: signal.Signals) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path / "log")],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    child = identify(int(owner.stdout.readline()))
    assert child is not None
    owner.send_signal(number)
    owner.communicate()
    deadline = time.monotonic() + SECONDS_MAX
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(child)
