"""The platform inside this one process: every service in threads, over the in-memory bus and store.

For machines that can run no broker. The services are built by the same `build` as everywhere else; only the
neighbours differ, and nothing outlives the process.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import uvicorn

from services.drift.app import build as build_drift
from services.drift.settings import DriftSettings
from services.features.app import build as build_features
from services.features.settings import FeaturesSettings
from services.ingest.app import build as build_ingest
from services.ingest.settings import IngestSettings
from services.local.addresses import Addresses
from services.local.errors import PlatformError, ProcessFailedError
from services.local.ports import LOOPBACK, choose_ports
from services.local.processes import http_problem
from services.local.supervisor import Say, stop_signals_raise, uninterrupted
from services.scoring.app import build as build_scoring
from services.scoring.settings import ScoringSettings
from services.training.app import build as build_training
from services.training.settings import TrainingSettings
from shared.bus.base import Bus
from shared.bus.memory import MemoryBus
from shared.contracts.topics import TOPICS
from shared.runtime.clock import SystemClock
from shared.runtime.service import Service, http_server
from shared.runtime.settings import ServiceSettings
from shared.store.memory import MemoryStore

_READY_SECONDS_MAX = 60.0
_STOP_SECONDS_MAX = 45.0
_POLL_SECONDS = 0.05


class _Part(NamedTuple):
    """How one service is configured and built."""

    settings_type: type[ServiceSettings]
    build: Callable[[Any, Bus, MemoryStore, SystemClock], Service]


_PARTS: dict[str, _Part] = {
    "ingest": _Part(IngestSettings, build_ingest),
    "features": _Part(FeaturesSettings, build_features),
    "scoring": _Part(ScoringSettings, build_scoring),
    "training": _Part(TrainingSettings, build_training),
    "drift": _Part(DriftSettings, build_drift),
}


class _Running(NamedTuple):
    """One service, its HTTP server, and the thread that runs both."""

    service: Service
    server: uvicorn.Server
    thread: threading.Thread


class InProcessPlatform:
    """Every service in this process; the same face as `Platform`."""

    def __init__(
        self,
        home: Path,
        settings: Mapping[str, str] | None = None,
        services: Sequence[str] = tuple(_PARTS),
        *,
        preferred_ports: Mapping[str, int] | None = None,
    ) -> None:
        """Describe the platform; arguments as for `Platform`."""
        self.home = home.resolve()
        self._settings = {name.lower(): value for name, value in (settings or {}).items()}
        self._services = tuple(services)
        self._preferred_ports = dict(preferred_ports or {})
        self._bus = MemoryBus(partitions=ServiceSettings.model_fields["headrace_topic_partitions"].default)
        self._store = MemoryStore(SystemClock())
        self._running: dict[str, _Running] = {}
        self._addresses: Addresses | None = None
        self._exit = contextlib.ExitStack()

    @property
    def addresses(self) -> Addresses:
        if self._addresses is None:
            raise PlatformError("the platform has no addresses before it is started")
        return self._addresses

    def start(self, say: Say) -> None:
        self._log_to_file()
        self._bus.create_topics(TOPICS)
        ports = choose_ports([self._preferred_ports.get(name) for name in self._services])
        urls = {name: f"http://{LOOPBACK}:{port}" for name, port in zip(self._services, ports, strict=True)}
        self._addresses = Addresses(kafka=None, redis=None, services=urls)
        for name, port in zip(self._services, ports, strict=True):
            self._running[name] = self._start_service(name, port)
        deadline = time.monotonic() + _READY_SECONDS_MAX
        for name, url in urls.items():
            while (problem := http_problem(url)) is not None:
                if failures := self.failures():
                    raise ProcessFailedError("; ".join(failures))
                if time.monotonic() > deadline:
                    raise ProcessFailedError(f"{name} is not ready after {_READY_SECONDS_MAX:.0f} s: {problem}")
                time.sleep(_POLL_SECONDS)
            say(f"{name} is ready")

    def bus(self) -> Bus:
        return self._bus

    def failures(self) -> list[str]:
        return [
            f"{name} has ended; see {self._log_path()}"
            for name, running in self._running.items()
            if running.service.failed.is_set() or not running.thread.is_alive()
        ]

    def stop(self, say: Say = lambda _: None) -> list[str]:
        with uninterrupted():
            stopped = list(reversed(self._running))
            for name in stopped:
                self._running[name].server.should_exit = True
            for name in stopped:
                self._running[name].thread.join(_STOP_SECONDS_MAX)
                if self._running[name].thread.is_alive():
                    say(f"{name} did not stop within {_STOP_SECONDS_MAX:.0f} s")
            self._running.clear()
            return stopped

    def __enter__(self) -> Self:
        self._exit.enter_context(stop_signals_raise())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._exit:
            self.stop()

    def _start_service(self, name: str, port: int) -> _Running:
        part = _PARTS[name]
        given: dict[str, Any] = {"headrace_home": self.home, "headrace_http_host": LOOPBACK, "headrace_http_port": port}
        settings = part.settings_type(**(self._settings | given))
        service = part.build(settings, self._bus, self._store, SystemClock())
        server = http_server(service, settings)
        # A service that hangs must not keep the process from ending.
        thread = threading.Thread(target=server.run, name=name, daemon=True)
        thread.start()
        return _Running(service, server, thread)

    def _log_path(self) -> Path:
        return self.home / "logs" / "headrace.log"

    def _log_to_file(self) -> None:
        """Send what the services say to one file, away from the terminal."""
        self._log_path().parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(self._log_path())
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
        logging.getLogger().addHandler(handler)

        def detach() -> None:
            logging.getLogger().removeHandler(handler)
            handler.close()

        self._exit.callback(detach)
