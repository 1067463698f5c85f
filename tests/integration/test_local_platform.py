"""`headrace up` … `headrace down` on real servers, and what happens when a part of it fails."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from services.local.errors import PlatformError, ProcessFailedError
from services.local.identity import kill_group
from services.local.platform import Platform
from services.local.processes import ROOT
from services.local.state import read_state
from shared.bus.base import Outgoing
from shared.contracts import codec
from shared.contracts.topics import TRANSACTIONS
from tests.events import payment

pytestmark = pytest.mark.servers

PATIENCE_SECONDS = 60.0


def headrace(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        cwd=ROOT,
        env={**os.environ, "HEADRACE_HOME": str(home), "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def external(kafka_servers: str, redis_url: str) -> dict[str, str]:
    return {**os.environ, "KAFKA_BOOTSTRAP_SERVERS": kafka_servers, "REDIS_URL": redis_url}


@pytest.mark.usefixtures("broker_jars")
def test_up_stays_until_down_and_leaves_nothing_running(tmp_path: Path) -> None:
    try:
        up = headrace("up", home=tmp_path)
        assert up.returncode == 0, up.stdout + up.stderr
        state = read_state(tmp_path)
        assert state is not None
        for address in (state.addresses.kafka, state.addresses.redis, *state.addresses.services.values()):
            assert str(address) in up.stdout
        again = headrace("up", home=tmp_path)
        assert "up already" in again.stdout
        assert read_state(tmp_path) == state

        ready = headrace("status", home=tmp_path)
        assert ready.returncode == 0, ready.stdout
        assert re.search(r"dead letters\s+none", ready.stdout)

        features = next(entry for entry in state.processes if entry.name == "features")
        kill_group(features.identity)
        hurt = headrace("status", home=tmp_path)
        assert hurt.returncode == 1
        assert "does not answer" in hurt.stdout
    finally:
        down = headrace("down", home=tmp_path)
    assert down.returncode == 0, down.stdout + down.stderr
    assert "had ended already: features" in down.stdout
    servers = "prometheus, redis, kafka" if state.addresses.prometheus else "redis, kafka"
    assert f"stopped drift, training, scoring, ingest, {servers}" in down.stdout
    assert not any(entry.alive() for entry in state.processes)
    assert read_state(tmp_path) is None


def test_a_service_that_dies_at_start_is_reported_and_the_rest_stopped(
    kafka_servers: str, redis_url: str, tmp_path: Path
) -> None:
    platform = Platform(
        tmp_path,
        {"HEADRACE_STORE_TIMEOUT_SECONDS": "-1"},
        ["features"],
        environment=external(kafka_servers, redis_url),
    )
    with (
        pytest.raises(ProcessFailedError, match=r"features ended with status 2; .*\n.*HEADRACE_STORE_TIMEOUT_SECONDS"),
        platform,
    ):
        platform.start(print)
    assert not platform.service("features").running()


def test_a_given_broker_that_does_not_answer_is_named(redis_url: str, tmp_path: Path) -> None:
    platform = Platform(tmp_path, services=[], environment=external("127.0.0.1:1", redis_url))
    with pytest.raises(PlatformError, match=r"Kafka at 127\.0\.0\.1:1 cannot be used"), platform:
        platform.start(print)


def test_a_killed_service_comes_back_at_the_same_address(kafka_servers: str, redis_url: str, tmp_path: Path) -> None:
    with Platform(tmp_path, services=["ingest"], environment=external(kafka_servers, redis_url)) as platform:
        platform.start(print)
        url = platform.addresses.services["ingest"]
        ingest = platform.service("ingest")
        ingest.kill()
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{url}/health/live")
        assert "ingest was ended by signal 9" in platform.failures()[0]
        ingest.start()
        platform.wait_ready(ingest)
        assert httpx.get(f"{url}/health/live").is_success
    assert not ingest.running()


@pytest.mark.usefixtures("broker_jars")
def test_a_platform_whose_redis_was_emptied_starts_and_names_the_command_to_run(tmp_path: Path) -> None:
    said: list[str] = []
    with Platform(tmp_path, services=["features"]) as platform:
        platform.start(said.append)
        apply_one_payment(platform)
    assert not [line for line in said if "rebuild" in line]
    # Not detached, so its log stayed and its Redis kept nothing.
    with Platform(tmp_path, services=["features"]) as platform:
        said.clear()
        platform.start(said.append)
        assert platform.failures() == []
    (warning,) = [line for line in said if "rebuild" in line]
    assert warning.startswith("WARNING: features: state: ")
    assert "run `headrace rebuild`" in warning


def apply_one_payment(platform: Platform) -> None:
    """Return once a payment was read and that was committed."""
    bus, sent = platform.bus(), payment("p-1")
    publisher = bus.publisher()
    publisher.send(Outgoing(TRANSACTIONS.name, sent.card_id.encode(), codec.encode(sent))).result(timeout=30)
    publisher.close()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not bus.has_committed("headrace-features-windows", [TRANSACTIONS.name]):
        assert time.monotonic() < deadline, "the payment was never applied"
        time.sleep(0.1)
