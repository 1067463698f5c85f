"""The platform on one machine: Kafka, Redis and every service, each as a process of its own."""

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from services.local.addresses import KAFKA_VARIABLE, REDIS_VARIABLE, SERVICES, Addresses
from services.local.broker_jars import find_java, resolve_broker
from services.local.errors import PlatformError
from services.local.identity import ProcessIdentity
from services.local.kafka import KafkaServer
from services.local.ports import LOOPBACK, choose_ports
from services.local.processes import STATE_CHECK, SupervisedProcess, http_problem
from services.local.redis import RedisServer, find_redis
from services.local.state import PlatformState, ProcessEntry, forget_state, write_state
from services.local.supervisor import Say, Supervisor, stop_signals_raise, uninterrupted
from shared.bus.base import Bus, BusUnavailableError
from shared.bus.kafka import KafkaBus
from shared.contracts.topics import TOPICS
from shared.runtime.settings import ServiceSettings

_READY_SECONDS_MAX = 90.0


class LocalPlatform(Protocol):
    """The platform, however it runs here; a context manager that stops everything on the way out."""

    @property
    def addresses(self) -> Addresses:
        """Where everything answers, once started."""
        ...

    def start(self, say: Say) -> None:
        """Start everything and wait until it is ready; `say` takes a line per step.

        A state that must be rebuilt is no reason to wait, since it is rebuilt while everything runs; it is said.

        Raises:
            PlatformError: something could not be started; what was started is stopped on the way out.
        """
        ...

    def bus(self) -> Bus:
        """Return the platform's event log, to produce and read through."""
        ...

    def failures(self) -> list[str]:
        """Tell of everything that has ended although nobody stopped it."""
        ...

    def stop(self, say: Say = ...) -> list[str]:
        """Stop everything; return the names of what was running."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _Programs(NamedTuple):
    """What to run as a broker and as a store; None where the environment names others."""

    java: Path | None
    jars: Path | None
    redis: Path | None


class Platform:
    """Every service and server as a process.

    Kafka and Redis are started too, unless the environment names others (KAFKA_BOOTSTRAP_SERVERS, REDIS_URL).
    """

    def __init__(
        self,
        home: Path,
        settings: Mapping[str, str] | None = None,
        services: Sequence[str] = SERVICES,
        *,
        preferred_ports: Mapping[str, int] | None = None,
        detached: bool = False,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """Describe the platform; `start` runs it.

        home: folder of data, models, archive and logs.
        settings: environment variables for every service, on top of `environment`.
        preferred_ports: by service, "kafka" or "redis"; where one is taken or none is given, a free one is used.
        detached: everything runs on after this process, is written to the state file, and Redis keeps its data.
        """
        self.home = home.resolve()
        self._environment = {**environment, **(settings or {})}
        self._services = tuple(services)
        self._preferred_ports = dict(preferred_ports or {})
        self._detached = detached
        self._supervisor = Supervisor(outlive=detached, on_start=self._record if detached else None)
        self._servers: dict[str, SupervisedProcess] = {}
        self._processes: dict[str, SupervisedProcess] = {}
        self._state: PlatformState | None = None
        self._exit = contextlib.ExitStack()
        self._bus: KafkaBus | None = None
        self._programs: _Programs | None = None

    @property
    def addresses(self) -> Addresses:
        if self._state is None:
            raise PlatformError("the platform has no addresses before it is started")
        return self._state.addresses

    def prepare(self, say: Say) -> None:
        """Find the servers that this platform has to bring along, resolving the broker where it is not there yet.

        Raises:
            ServerUnavailableError: this machine has none and cannot get one.
        """
        own_kafka = not self._environment.get(KAFKA_VARIABLE)
        own_redis = not self._environment.get(REDIS_VARIABLE)
        self._programs = _Programs(
            java=find_java() if own_kafka else None,
            jars=resolve_broker(say) if own_kafka else None,
            redis=find_redis() if own_redis else None,
        )

    def start(self, say: Say) -> None:
        if self._programs is None:
            self.prepare(say)
        names = ("kafka", "kafka controller", "redis", *self._services)
        ports = dict(zip(names, choose_ports([self._preferred_ports.get(name) for name in names]), strict=True))
        addresses = self._make_servers(ports)
        self._state = PlatformState(addresses=addresses)
        self._processes = {name: self._make_service(name, ports[name], addresses) for name in self._services}
        for process in self._servers.values():
            self._supervisor.start(process)
        self.wait_ready(*self._servers.values(), say=say)
        self._create_topics()
        for process in self._processes.values():
            self._supervisor.start(process)
        self.wait_ready(*self._processes.values(), say=say)

    def wait_ready(self, *processes: SupervisedProcess, say: Say = lambda _: None) -> None:
        """Wait until `processes` are ready, as after killing and starting one again; raises ProcessFailedError."""
        self._supervisor.wait_ready(processes, seconds_max=_READY_SECONDS_MAX, say=say)

    def service(self, name: str) -> SupervisedProcess:
        """Return the process of a service this platform started."""
        return self._processes[name]

    def server(self, name: str) -> SupervisedProcess:
        """Return the process of "kafka" or "redis", where this platform started its own."""
        return self._servers[name]

    def bus(self) -> Bus:
        if self._bus is None:
            partitions = ServiceSettings.model_fields["headrace_topic_partitions"].default
            partitions = int(self._environment.get("HEADRACE_TOPIC_PARTITIONS", partitions))
            self._bus = KafkaBus(str(self.addresses.kafka), partitions=partitions)
        return self._bus

    def failures(self) -> list[str]:
        return self._supervisor.failures()

    def stop(self, say: Say = lambda _: None) -> list[str]:
        with uninterrupted():
            self._close_bus()
            # Services first: they finish what is in hand while Kafka and Redis still answer.
            stopped = self._supervisor.stop(list(self._processes.values()), say=say)
            stopped += self._supervisor.stop(say=say)
            if self._detached:
                forget_state(self.home)
            return stopped

    def __enter__(self) -> Self:
        self._exit.enter_context(stop_signals_raise())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._exit:
            if error is not None or not self._detached:
                self.stop()
            else:
                self._close_bus()

    def _close_bus(self) -> None:
        if self._bus is not None:
            self._bus.close()
            self._bus = None

    def _make_servers(self, ports: Mapping[str, int]) -> Addresses:
        programs = self._programs or _Programs(None, None, None)
        kafka_address = self._environment.get(KAFKA_VARIABLE)
        redis_address = self._environment.get(REDIS_VARIABLE)
        if programs.java and programs.jars:
            kafka = KafkaServer(
                self.home / "kafka",
                java=programs.java,
                jars=programs.jars,
                port=ports["kafka"],
                controller_port=ports["kafka controller"],
                log_path=self._log_path("kafka"),
                environment=self._environment,
            )
            kafka_address = kafka.bootstrap_servers
            self._servers["kafka"] = kafka
        if programs.redis:
            redis = RedisServer(
                self.home / "redis",
                binary=programs.redis,
                port=ports["redis"],
                log_path=self._log_path("redis"),
                append_only=self._detached,
                environment=self._environment,
            )
            redis_address = redis.url
            self._servers["redis"] = redis
        urls = {name: f"http://{LOOPBACK}:{ports[name]}" for name in self._services}
        return Addresses(kafka=kafka_address, redis=redis_address, services=urls)

    def _make_service(self, name: str, port: int, addresses: Addresses) -> SupervisedProcess:
        base_url = addresses.services[name]
        return SupervisedProcess(
            name,
            [sys.executable, "-m", f"services.{name}"],
            log_path=self._log_path(name),
            environment={
                **self._environment,
                KAFKA_VARIABLE: str(addresses.kafka),
                REDIS_VARIABLE: str(addresses.redis),
                "HEADRACE_HOME": str(self.home),
                "HEADRACE_HTTP_HOST": LOOPBACK,
                "HEADRACE_HTTP_PORT": str(port),
            },
            problem=lambda: http_problem(base_url, excused={STATE_CHECK}),
            warning=lambda: http_problem(base_url),
        )

    def _create_topics(self) -> None:
        """Once, here, rather than five services racing for it; also tells whether a foreign broker answers."""
        try:
            self.bus().create_topics(TOPICS)
        except BusUnavailableError as error:
            raise PlatformError(f"Kafka at {self.addresses.kafka} cannot be used: {error}") from error

    def _log_path(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"

    def _record(self, name: str, identity: ProcessIdentity) -> None:
        """Keep the state file up to date from the first process on, so that a crash of ours strands none."""
        if self._state is None:
            raise AssertionError("a process was started before the platform")
        entry = ProcessEntry(name=name, identity=identity, log=str(self._log_path(name)), server=name in self._servers)
        others = [other for other in self._state.processes if other.name != name]
        self._state = PlatformState(addresses=self._state.addresses, processes=[*others, entry])
        write_state(self.home, self._state)
