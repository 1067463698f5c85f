"""The platform on one machine: Kafka, Redis and every service, each as a process of its own."""

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import msgspec

from services.local.addresses import KAFKA_VARIABLE, REDIS_VARIABLE, SERVICES, Addresses
from services.local.errors import PlatformError
from services.local.identity import ProcessIdentity
from services.local.ports import LOOPBACK, choose_ports
from services.local.processes import STATE_CHECK, SupervisedProcess, http_problem
from services.local.prometheus import PrometheusServer, find_prometheus
from services.local.replicas import (
    check_replicas,
    instance_name,
    process_name,
    process_names,
    replicas_of,
    service_of,
)
from services.local.servers import PORT_NAMES, Programs, find_programs, log_path, make_servers
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


class Platform:
    """Every service and server as a process.

    Kafka and Redis are started too, unless the environment names others (KAFKA_BOOTSTRAP_SERVERS, REDIS_URL).
    """

    def __init__(  # noqa: PLR0913 - all but the home can be left out
        self,
        home: Path,
        settings: Mapping[str, str] | None = None,
        services: Sequence[str] = SERVICES,
        *,
        replicas: Mapping[str, int] | None = None,
        preferred_ports: Mapping[str, int] | None = None,
        watched: bool = False,
        detached: bool = False,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """Describe the platform; `start` runs it.

        home: folder of data, models, archive and logs.
        settings: environment variables for every service, on top of `environment`.
        replicas: by service, how many processes of it; 1 where none is given. The second of features is "features-2".
        preferred_ports: by process, "kafka" or "redis"; where one is taken or none is given, a free one is used.
        watched: Prometheus is started too, where it is on the PATH.
        detached: everything runs on after this process, is written to the state file, and Redis keeps its data.

        Raises:
            PlatformError: there cannot be so many processes of a service.
        """
        self.home = home.resolve()
        self._environment = {**environment, **(settings or {})}
        check_replicas(replicas or {}, services, partitions=self._partitions())
        self._names = process_names(services, replicas or {})
        self._preferred_ports = dict(preferred_ports or {})
        self._prometheus = find_prometheus() if watched else None
        self._detached = detached
        self._supervisor = Supervisor(outlive=detached, on_start=self._record if detached else None)
        self._servers: dict[str, SupervisedProcess] = {}
        self._processes: dict[str, SupervisedProcess] = {}
        self._state: PlatformState | None = None
        self._exit = contextlib.ExitStack()
        self._bus: KafkaBus | None = None
        self._programs: Programs | None = None

    @property
    def addresses(self) -> Addresses:
        return self._known_state().addresses

    def prepare(self, say: Say) -> None:
        """Find the servers that this platform has to bring along, resolving the broker where it is not there yet.

        Raises:
            ServerUnavailableError: this machine has none and cannot get one.
        """
        self._programs = find_programs(self._environment, say)

    def start(self, say: Say) -> None:
        programs = self._programs or find_programs(self._environment, say)
        names = (*PORT_NAMES, "prometheus", *self._names)
        ports = dict(zip(names, choose_ports([self._preferred_ports.get(name) for name in names]), strict=True))
        servers = make_servers(programs, self.home, self._environment, ports=ports, append_only=self._detached)
        urls = {name: f"http://{LOOPBACK}:{ports[name]}" for name in self._names}
        self._servers = servers.processes
        watcher = self._make_prometheus(ports["prometheus"], urls)
        self._state = PlatformState(
            addresses=Addresses(
                kafka=servers.kafka, redis=servers.redis, services=urls, prometheus=watcher.url if watcher else None
            )
        )
        self._processes = {name: self._make_service(name) for name in self._names}
        for process in self._servers.values():
            self._supervisor.start(process)
        self.wait_ready(*self._servers.values(), say=say)
        self._create_topics()
        for process in self._processes.values():
            self._supervisor.start(process)
        self.wait_ready(*self._processes.values(), say=say)
        if watcher is not None:
            self._servers[watcher.name] = watcher
            self._supervisor.start(watcher)
            self.wait_ready(watcher, say=say)

    def add_replica(self, service: str, say: Say = lambda _: None) -> SupervisedProcess:
        """Start one more process of a service and return it when it has its share of the work.

        Raises:
            PlatformError: the service runs as one process only, or the process could not be started.
        """
        count = len(replicas_of(service, self._processes)) + 1
        check_replicas({service: count}, {service_of(name) for name in self._processes}, partitions=self._partitions())
        name = process_name(service, count)
        (port,) = choose_ports([self._preferred_ports.get(name)])
        self._set_urls({**self.addresses.services, name: f"http://{LOOPBACK}:{port}"})
        self._processes[name] = self._make_service(name)
        self._supervisor.start(self._processes[name])
        self.wait_ready(self._processes[name], say=say)
        return self._processes[name]

    def remove_replica(self, service: str, say: Say = lambda _: None) -> None:
        """Stop the process of a service that was added last, in order; what it had in hand goes to the others.

        Raises:
            PlatformError: it is the only one; `stop` stops that.
        """
        running = replicas_of(service, self._processes)
        if len(running) < 2:
            raise PlatformError(f"{service} has no replica to remove")
        name = running[-1]
        self._supervisor.stop([self._processes.pop(name)], say=say)
        self._set_urls({process: url for process, url in self.addresses.services.items() if process != name})

    def wait_ready(self, *processes: SupervisedProcess, say: Say = lambda _: None) -> None:
        """Wait until `processes` are ready, as after killing and starting one again; raises ProcessFailedError."""
        self._supervisor.wait_ready(processes, seconds_max=_READY_SECONDS_MAX, say=say)

    def service(self, name: str) -> SupervisedProcess:
        """Return a process of a service by its name, as in "features" or "features-2"."""
        return self._processes[name]

    def server(self, name: str) -> SupervisedProcess:
        """Return the process of "kafka" or "redis", where this platform started its own."""
        return self._servers[name]

    def bus(self) -> Bus:
        if self._bus is None:
            self._bus = KafkaBus(str(self.addresses.kafka), partitions=self._partitions())
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

    def _make_prometheus(self, port: int, urls: Mapping[str, str]) -> PrometheusServer | None:
        if self._prometheus is None:
            return None
        log = log_path(self.home, "prometheus")
        return PrometheusServer(
            self.home / "prometheus", binary=self._prometheus, port=port, services=urls, log_path=log
        )

    def _make_service(self, name: str) -> SupervisedProcess:
        addresses = self.addresses
        base_url = addresses.services[name]
        return SupervisedProcess(
            name,
            [sys.executable, "-m", f"services.{service_of(name)}"],
            log_path=log_path(self.home, name),
            environment={
                **self._environment,
                KAFKA_VARIABLE: str(addresses.kafka),
                REDIS_VARIABLE: str(addresses.redis),
                "HEADRACE_HOME": str(self.home),
                "HEADRACE_INSTANCE": instance_name(name, self._environment),
                "HEADRACE_HTTP_HOST": LOOPBACK,
                "HEADRACE_HTTP_PORT": base_url.rpartition(":")[2],
            },
            problem=lambda: http_problem(base_url, excused={STATE_CHECK}),
            warning=lambda: http_problem(base_url),
        )

    def _partitions(self) -> int:
        default = ServiceSettings.model_fields["headrace_topic_partitions"].default
        return int(self._environment.get("HEADRACE_TOPIC_PARTITIONS", default))

    def _create_topics(self) -> None:
        """Once, here, rather than five services racing for it; also tells whether a foreign broker answers."""
        try:
            self.bus().create_topics(TOPICS)
        except BusUnavailableError as error:
            raise PlatformError(f"Kafka at {self.addresses.kafka} cannot be used: {error}") from error

    def _set_urls(self, urls: dict[str, str]) -> None:
        """Take note of which processes there are now, and where they answer."""
        known = self._known_state()
        kept = [entry for entry in known.processes if entry.server or entry.name in urls]
        self._keep(PlatformState(addresses=msgspec.structs.replace(known.addresses, services=urls), processes=kept))

    def _record(self, name: str, identity: ProcessIdentity) -> None:
        """Keep the state file up to date from the first process on, so that a crash of ours strands none."""
        known = self._known_state()
        log = str(log_path(self.home, name))
        entry = ProcessEntry(name=name, identity=identity, log=log, server=name in self._servers)
        others = [other for other in known.processes if other.name != name]
        self._keep(PlatformState(addresses=known.addresses, processes=[*others, entry]))

    def _known_state(self) -> PlatformState:
        if self._state is None:
            raise PlatformError("the platform has no addresses before it is started")
        return self._state

    def _keep(self, state: PlatformState) -> None:
        self._state = state
        if self._detached:
            write_state(self.home, state)
