"""A service that starts before its neighbours says what it waits for, and goes on once they are there."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.local.broker_jars import find_java
from services.local.kafka import KafkaServer
from services.local.ports import LOOPBACK, choose_ports
from services.local.processes import SupervisedProcess, http_problem
from services.local.redis import RedisServer, find_redis
from services.local.supervisor import Supervisor

pytestmark = pytest.mark.servers

PATIENCE_SECONDS = 120


@pytest.fixture
def own_supervisor() -> Iterator[Supervisor]:
    supervisor = Supervisor()
    yield supervisor
    supervisor.stop()


def wait_until(reached: Callable[[], bool], told: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < deadline, f"never: {told}"


@pytest.mark.parametrize("name", ["ingest", "features", "scoring", "training", "drift"])
def test_it_waits_for_kafka_and_redis_and_says_so(
    name: str, own_supervisor: Supervisor, broker_jars: Path, tmp_path: Path
) -> None:
    http_port, kafka_port, controller_port, redis_port = choose_ports([None] * 4)
    kafka = KafkaServer(
        tmp_path / "kafka",
        java=find_java(),
        jars=broker_jars,
        port=kafka_port,
        controller_port=controller_port,
        log_path=tmp_path / "kafka.log",
    )
    redis = RedisServer(tmp_path / "redis", binary=find_redis(), port=redis_port, log_path=tmp_path / "redis.log")
    url = f"http://{LOOPBACK}:{http_port}"
    service = SupervisedProcess(
        name,
        [sys.executable, "-m", f"services.{name}"],
        log_path=tmp_path / f"{name}.log",
        environment={
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "REDIS_URL": redis.url,
            "HEADRACE_HOME": str(tmp_path),
            "HEADRACE_HTTP_PORT": str(http_port),
        },
        problem=lambda: http_problem(url),
    )
    own_supervisor.start(service)
    wait_until(lambda: "Kafka does not answer" in (service.problem() or ""), "it says that Kafka is away")
    assert "Kafka does not answer" in service.log_tail()
    own_supervisor.start(redis)
    own_supervisor.start(kafka)
    wait_until(lambda: service.problem() is None, "it is ready")
