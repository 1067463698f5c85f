"""Is everything as it should be: every neighbour, every service, this machine, whatever of them runs."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from services.local.addresses import Addresses
from services.local.checks.examination import Check, examine
from services.local.checks.finding import Area, Finding
from services.local.checks.kafka import check_kafka
from services.local.checks.machine import Machine, check_machine
from services.local.checks.redis import check_redis
from services.local.checks.registry import check_registry
from services.local.checks.rejected import check_rejected
from services.local.checks.services import check_services
from services.local.checks.settings import check_settings
from services.local.discovery import discover, process_urls
from services.local.errors import PlatformError
from services.local.processes import ROOT
from shared.bus.base import Bus
from shared.bus.kafka import KafkaBus
from shared.runtime.clock import Clock
from shared.runtime.settings import ServiceSettings

SECONDS_MAX = 30.0
"""A check that takes longer is given up."""


def diagnose(home: Path, environment: Mapping[str, str], *, clock: Clock) -> list[Finding]:
    """Return what there is to say about the platform of `home`, area by area; nothing is changed, nothing is raised."""
    try:
        addresses, problem = discover(home, environment), None
    except PlatformError as error:
        addresses, problem = Addresses(kafka=None, redis=None, services={}), str(error)
    settings = _settings()
    checks: dict[str, Check] = {
        "machine": partial(check_machine, machine=Machine(home, ROOT / "requirements.lock", problem is None)),
        "settings": partial(check_settings, environment=environment, home=home),
    }
    if problem is None:
        checks |= _neighbours(home, addresses, settings, clock)
        checks["services"] = partial(check_services, urls=process_urls(home, environment))
    else:
        checks |= _absent(problem)
    return examine(checks, seconds_max=SECONDS_MAX, clock=clock)


def _settings() -> ServiceSettings:
    """Return the settings; their defaults where they do not hold, which is a finding of its own."""
    try:
        return ServiceSettings()
    except ValidationError:
        return ServiceSettings.model_construct()


def _absent(problem: str) -> Mapping[str, Check]:
    def nothing_runs(area: Area) -> list[Finding]:
        return [area.not_checked("running", problem)]

    return {"platform": nothing_runs}


def _neighbours(home: Path, addresses: Addresses, settings: ServiceSettings, clock: Clock) -> Mapping[str, Check]:
    partitions = settings.headrace_topic_partitions
    # Each check opens its own: one that hangs is left behind with it.
    open_bus: Callable[[], Bus] | None = None
    checks: dict[str, Check] = {"kafka": _in_memory, "redis": _in_memory}
    if addresses.kafka:
        open_bus = partial(KafkaBus, addresses.kafka, partitions=partitions)
        checks["kafka"] = partial(check_kafka, bootstrap_servers=addresses.kafka, partitions=partitions, clock=clock)
        checks["rejected"] = partial(check_rejected, open_bus=open_bus)
    if addresses.redis:
        timeout = settings.headrace_store_timeout_seconds
        checks["redis"] = partial(check_redis, url=addresses.redis, timeout_seconds=timeout, clock=clock)
    checks["registry"] = partial(
        check_registry, home=home, tracking_uri=settings.mlflow_tracking_uri, open_bus=open_bus
    )
    return checks


def _in_memory(area: Area) -> list[Finding]:
    return [area.not_checked("reachable", "its address is not known, or it lives in the memory of `headrace up`")]
