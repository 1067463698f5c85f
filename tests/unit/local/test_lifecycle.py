"""What `up` leaves behind is trusted only as far as it is still true."""

import os
from pathlib import Path

import pytest

from services.local.addresses import Addresses
from services.local.discovery import discover
from services.local.errors import PlatformError
from services.local.identity import ProcessIdentity, alive
from services.local.lifecycle import bring_down, running_platform
from services.local.processes import SupervisedProcess
from services.local.state import STATE_FILE, PlatformState, ProcessEntry, read_state, write_state

ADDRESSES = Addresses(
    kafka="127.0.0.1:9092", redis="redis://127.0.0.1:6379/0", services={"ingest": "http://127.0.0.1:8001"}
)
RECYCLED = ProcessIdentity(os.getpid(), "the start of a process that had this id before")


def entry(name: str, identity: ProcessIdentity, *, server: bool = False) -> ProcessEntry:
    return ProcessEntry(name=name, identity=identity, log=f"{name}.log", server=server)


def sleeper(name: str, tmp_path: Path) -> tuple[SupervisedProcess, ProcessEntry]:
    process = SupervisedProcess(
        name, ["sleep", "600"], log_path=tmp_path / name, environment=os.environ, problem=lambda: None
    )
    process.start()
    assert process.identity is not None
    return process, entry(name, process.identity, server=name in {"kafka", "redis"})


def test_down_stops_services_against_the_way_of_the_data_and_then_the_servers(tmp_path: Path) -> None:
    started = [sleeper(name, tmp_path) for name in ("kafka", "redis", "ingest", "features", "scoring")]
    write_state(tmp_path, PlatformState(addresses=ADDRESSES, processes=[kept for _, kept in started]))
    assert running_platform(tmp_path) is not None
    assert bring_down(tmp_path, print).stopped == ["scoring", "features", "ingest", "redis", "kafka"]
    assert not any(process.running() for process, _ in started)
    assert read_state(tmp_path) is None


def test_down_leaves_a_recycled_pid_alone(tmp_path: Path) -> None:
    """The recorded id is this test's own process: a signal would end the run."""
    write_state(tmp_path, PlatformState(addresses=ADDRESSES, processes=[entry("features", RECYCLED)]))
    assert not alive(RECYCLED)
    down = bring_down(tmp_path, print)
    assert down.stopped == []
    assert down.ended_before == ["features"]


def test_a_platform_that_lost_a_process_is_not_up(tmp_path: Path) -> None:
    survivor, kept = sleeper("ingest", tmp_path)
    write_state(tmp_path, PlatformState(addresses=ADDRESSES, processes=[kept, entry("features", RECYCLED)]))
    assert running_platform(tmp_path) is None
    survivor.stop()


def test_down_without_a_platform_says_so_by_finding_nothing(tmp_path: Path) -> None:
    assert bring_down(tmp_path, print) == ([], [])


def test_a_state_file_that_is_not_ours_is_named(tmp_path: Path) -> None:
    (tmp_path / STATE_FILE).write_text("{}")
    with pytest.raises(PlatformError, match=r"platform\.json cannot be read .* delete it"):
        bring_down(tmp_path, print)


def test_the_environment_goes_before_what_up_left_behind(tmp_path: Path) -> None:
    write_state(tmp_path, PlatformState(addresses=ADDRESSES))
    assert discover(tmp_path, {}) == ADDRESSES
    found = discover(tmp_path, {"KAFKA_BOOTSTRAP_SERVERS": "kafka:9092", "HEADRACE_DRIFT_URL": "http://drift:8000"})
    assert found.kafka == "kafka:9092"
    assert found.redis == ADDRESSES.redis
    assert found.services == ADDRESSES.services | {"drift": "http://drift:8000"}


def test_nothing_to_be_found_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PlatformError, match="headrace up"):
        discover(tmp_path, {})
