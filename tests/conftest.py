"""The real servers, for every test that asks: started when the first test needs them, once, and always stopped."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from services.local.addresses import KAFKA_VARIABLE, REDIS_VARIABLE
from services.local.broker_jars import find_java, resolve_broker
from services.local.kafka import KafkaServer
from services.local.ports import choose_ports
from services.local.redis import RedisServer, find_redis
from services.local.supervisor import Supervisor
from shared.bus.kafka import KafkaBus

READY_SECONDS_MAX = 120.0

# No test depends on a timing.
settings.register_profile("headrace", deadline=None)
settings.load_profile("headrace")


@pytest.fixture(autouse=True)
def _no_settings_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test means what it says, whatever platform the developer's shell points to."""
    for name in list(os.environ):
        if name.startswith("HEADRACE_") or name in {KAFKA_VARIABLE, REDIS_VARIABLE, "MLFLOW_TRACKING_URI"}:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def supervisor() -> Iterator[Supervisor]:
    """Owns the session's servers; should the run be killed, its watchdog ends them."""
    owner = Supervisor()
    yield owner
    owner.stop()


@pytest.fixture(scope="session")
def broker_jars() -> Path:
    """The broker's jars; without Java or Maven the tests fail, they are not skipped."""
    return resolve_broker(print)


@pytest.fixture(scope="session")
def kafka_servers(supervisor: Supervisor, broker_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of a real broker with nothing on it, shared by all tests: use topics and groups of your own."""
    folder = tmp_path_factory.mktemp("kafka")
    port, controller_port = choose_ports([None, None])
    server = KafkaServer(
        folder,
        java=find_java(),
        jars=broker_jars,
        port=port,
        controller_port=controller_port,
        log_path=folder / "kafka.log",
    )
    supervisor.start(server)
    supervisor.wait_ready([server], seconds_max=READY_SECONDS_MAX, say=print)
    return server.bootstrap_servers


@pytest.fixture(scope="session")
def redis_url(supervisor: Supervisor, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Address of a real Redis-protocol server, shared by all tests: use keys of your own."""
    folder = tmp_path_factory.mktemp("redis")
    server = RedisServer(folder, binary=find_redis(), port=choose_ports([None])[0], log_path=folder / "redis.log")
    supervisor.start(server)
    supervisor.wait_ready([server], seconds_max=READY_SECONDS_MAX, say=print)
    return server.url


@pytest.fixture
def kafka_bus(kafka_servers: str) -> Iterator[KafkaBus]:
    """A bus on the real broker, closed behind the test."""
    bus = KafkaBus(kafka_servers, partitions=4)
    yield bus
    bus.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was not checked for want of a program, and how to get it."""
    reasons = {str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", [])}
    for reason in sorted(reasons):
        terminalreporter.write_line(reason.removeprefix("Skipped: "))
