"""The servers a platform brings along: a broker and a store, where the environment names no others."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from services.local.addresses import KAFKA_VARIABLE, REDIS_VARIABLE
from services.local.broker_jars import find_java, resolve_broker
from services.local.kafka import KafkaServer
from services.local.processes import SupervisedProcess
from services.local.redis import RedisServer, find_redis
from services.local.supervisor import Say

PORT_NAMES = ("kafka", "kafka controller", "redis")
"""What needs a port, whether it is started here or not."""


class Programs(NamedTuple):
    """What to run as a broker and as a store; None where the environment names others."""

    java: Path | None
    jars: Path | None
    redis: Path | None


class Servers(NamedTuple):
    """Where Kafka and Redis answer, and the processes to start for it, in their order."""

    kafka: str | None
    redis: str | None
    processes: dict[str, SupervisedProcess]


def find_programs(environment: Mapping[str, str], say: Say) -> Programs:
    """Find what has to be started, resolving the broker where it is not there yet.

    Raises:
        ServerUnavailableError: this machine has none and cannot get one.
    """
    own_kafka = not environment.get(KAFKA_VARIABLE)
    own_redis = not environment.get(REDIS_VARIABLE)
    return Programs(
        java=find_java() if own_kafka else None,
        jars=resolve_broker(say) if own_kafka else None,
        redis=find_redis() if own_redis else None,
    )


def make_servers(
    programs: Programs, home: Path, environment: Mapping[str, str], *, ports: Mapping[str, int], append_only: bool
) -> Servers:
    """Return the servers, not started.

    ports: by PORT_NAMES. append_only: Redis keeps its data across restarts.
    """
    processes: dict[str, SupervisedProcess] = {}
    kafka_address, redis_address = environment.get(KAFKA_VARIABLE), environment.get(REDIS_VARIABLE)
    if programs.java and programs.jars:
        kafka = KafkaServer(
            home / "kafka",
            java=programs.java,
            jars=programs.jars,
            port=ports["kafka"],
            controller_port=ports["kafka controller"],
            log_path=log_path(home, "kafka"),
            environment=environment,
        )
        kafka_address = kafka.bootstrap_servers
        processes["kafka"] = kafka
    if programs.redis:
        redis = RedisServer(
            home / "redis",
            binary=programs.redis,
            port=ports["redis"],
            log_path=log_path(home, "redis"),
            append_only=append_only,
            environment=environment,
        )
        redis_address = redis.url
        processes["redis"] = redis
    return Servers(kafka_address, redis_address, processes)


def log_path(home: Path, process: str) -> Path:
    """Return where a process below `home` logs to."""
    return home / "logs" / f"{process}.log"
