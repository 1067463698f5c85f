"""A running service: its workers in threads, its HTTP server in front, an orderly stop on SIGTERM.

Every call but those of operations passes the gate (shared/access) first. A worker that ends with an exception is a bug:
the process says so and exits with status 1.
"""

import contextlib
import logging
import ssl
import sys
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Protocol

import uvicorn
from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse

from shared.access.gate import Gate, gate_for, guarded
from shared.access.header_limit import HeaderLimitedProtocol
from shared.access.openapi import with_access
from shared.access.roles import ROLES_BY_PATH
from shared.runtime import metrics
from shared.runtime.clock import SystemClock
from shared.runtime.code_commit import code_commit
from shared.runtime.metrics.birth import begin_at_zero
from shared.runtime.metrics.exposition import CONTENT_TYPE, exposition
from shared.runtime.responses import counted
from shared.runtime.settings import ServiceSettings
from shared.runtime.tracing.calls import traced

if TYPE_CHECKING:
    from shared.runtime.tracing.spans import Tracing

log = logging.getLogger(__name__)

STOP_SECONDS_MAX = 30.0


class Worker(Protocol):
    """Something that works in a thread of its own until told to stop."""

    name: str

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then finish what is in hand and return."""
        ...

    def problem(self) -> str | None:
        """Tell in one line why this worker is not ready; None when it is."""
        ...


@dataclass
class Service:
    """What `build` returns: everything wired, nothing started.

    checks: name → function that tells in one line what is missing, or None.
    gate: admits callers, where the service itself asks it too; else the settings tell.
    closers: called in order after every worker has stopped.
    tracing: makes spans of calls, and is closed at the very end.
    """

    name: str
    app: FastAPI
    workers: tuple[Worker, ...] = ()
    checks: dict[str, Callable[[], str | None]] = field(default_factory=dict)
    closers: tuple[Callable[[], None], ...] = ()
    gate: Gate | None = None
    tracing: "Tracing | None" = None
    stop: threading.Event = field(default_factory=threading.Event)
    failed: threading.Event = field(default_factory=threading.Event)
    on_failure: Callable[[], None] = lambda: None
    _threads: list[threading.Thread] = field(default_factory=list)

    def problems(self) -> dict[str, str]:
        """Return what keeps this service from being ready, by name."""
        named = {worker.name: worker.problem for worker in self.workers} | self.checks
        return {name: text for name, check in named.items() if (text := check()) is not None}

    def start(self) -> None:
        """Start every worker."""
        for worker in self.workers:
            thread = threading.Thread(target=self._run, args=(worker,), name=f"{self.name}-{worker.name}")
            thread.start()
            self._threads.append(thread)

    def shut_down(self) -> None:
        """Stop every worker, wait for it, and close what was opened."""
        self.stop.set()
        for thread in self._threads:
            thread.join(STOP_SECONDS_MAX)
            if thread.is_alive():
                log.error("worker %s did not stop within %s s", thread.name, STOP_SECONDS_MAX)
                self.failed.set()
        for close in self.closers:
            close()
        if self.tracing is not None:
            self.tracing.close()

    def _run(self, worker: Worker) -> None:
        try:
            worker.run(self.stop)
        except Exception:
            log.exception("worker %s failed; the process stops", worker.name)
            self.failed.set()
            self.on_failure()


class OpenToOthersError(Exception):
    """Without keys a service answers to this machine only, unless it is told otherwise."""


def serve(service: Service, settings: ServiceSettings) -> int:
    """Run `service` until SIGTERM or SIGINT; return the process's exit status.

    Status 2: it would have been open to others by accident; standard error tells.
    """
    try:
        server = http_server(service, settings)
    except OpenToOthersError as error:
        sys.stderr.write(f"{service.name}: {error}\n")
        service.shut_down()
        return 2
    server.run()
    return 1 if service.failed.is_set() else 0


def http_server(service: Service, settings: ServiceSettings) -> uvicorn.Server:
    """Return the server in front of `service`; its `run` starts the workers, and stops them on its way out.

    Raises:
        OpenToOthersError: it is bound to more than this machine, and whether keys are required nobody said.
    """
    begin_at_zero(service.name)
    commit = settings.headrace_code_commit or code_commit() or "unknown"
    metrics.BUILD_INFO.labels(service.name, version("headrace"), commit).set(1)
    gate = service.gate or gate_for(settings, SystemClock())
    _check_openness(service, gate, settings)
    service.checks["keys"] = gate.problem
    add_operations_endpoints(service)
    _describe_access(service.app)
    client_ca = settings.headrace_tls_client_ca_file
    app = service.app if service.tracing is None else traced(service.app, service.tracing)
    server = uvicorn.Server(
        uvicorn.Config(
            counted(guarded(app, gate, ROLES_BY_PATH), service.name),
            host=settings.headrace_http_host,
            port=settings.headrace_http_port,
            http=HeaderLimitedProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=10,
            ssl_certfile=settings.headrace_tls_certificate_file,
            ssl_keyfile=settings.headrace_tls_key_file,
            ssl_ca_certs=None if client_ca is None else str(client_ca),
            ssl_cert_reqs=ssl.CERT_NONE if client_ca is None else ssl.CERT_REQUIRED,
        )
    )

    def stop_serving() -> None:
        server.should_exit = True

    service.on_failure = stop_serving
    return server


def _check_openness(service: Service, gate: Gate, settings: ServiceSettings) -> None:
    if not settings.is_loopback and settings.headrace_keys_required is None and gate.lacks_keys():
        raise OpenToOthersError(
            f"HEADRACE_HTTP_HOST is {settings.headrace_http_host}, and there are no API keys in {settings.keys_file}: "
            "make one with `headrace keys create`, or set HEADRACE_KEYS_REQUIRED=false to answer whoever can reach it"
        )
    # On the loopback interface only this machine's own programs are let in.
    metrics.OPEN_ACCESS.set_function(lambda: not settings.is_loopback and gate.is_open())
    if gate.is_open():
        log.warning(
            "%s answers everybody who reaches %s: there are no API keys; `headrace keys create` makes one",
            service.name,
            settings.headrace_http_host,
        )


def _describe_access(app: FastAPI) -> None:
    describe = app.openapi

    def described() -> dict[str, object]:
        return with_access(describe(), ROLES_BY_PATH)

    app.openapi = described  # type: ignore[method-assign] # the way FastAPI gives to extend the document


def add_operations_endpoints(service: Service) -> None:
    """Add /health/live, /health/ready and /metrics, and tie the workers to the app's life."""
    app = service.app

    @app.get("/health/live", tags=["operations"])
    async def live() -> dict[str, str]:
        """Say that the process runs."""
        return {"status": "live"}

    @app.get("/health/ready", tags=["operations"], responses={503: {"description": "Not ready: what is missing."}})
    def ready(response: Response) -> dict[str, object]:
        """Say whether the service can do its work now, and if not, what is missing."""
        problems = service.problems()
        response.status_code = 503 if problems else 200
        return {"status": "waiting" if problems else "ready", "problems": problems}

    @app.get("/metrics", tags=["operations"], response_class=PlainTextResponse)
    async def expose() -> Response:
        """Return the metrics in Prometheus' text format."""
        return Response(exposition(), media_type=CONTENT_TYPE)

    inner = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with inner(app):
            service.start()
            yield
            service.shut_down()

    app.router.lifespan_context = lifespan
