"""Looking at a running platform: every process twice, to tell what passes, then drift, alerts and the log."""

import time
from collections.abc import Mapping
from typing import NamedTuple

import httpx
import msgspec

from services.drift.shown.status import ModelStatus, Snapshot
from services.local.alerts import Alert, firing, wrong_now
from services.local.dead_letters import waiting_counts
from services.local.errors import PlatformError
from services.local.inspection import Process, inspect_processes
from services.local.overview import (
    Overview,
    evidence_of,
    flow_between,
    journal_of,
    models_in_service,
    process_statuses,
)
from shared.bus.base import Bus, BusUnavailableError
from shared.runtime.clock import SystemClock

_HTTP_SECONDS_MAX = 5.0
_SECONDS_MIN = 0.001
OWN_RULES = "the processes' metrics"


class Look(NamedTuple):
    """Every process at one moment; at_seconds: monotonic."""

    at_seconds: float
    processes: list[Process]


class Sources(NamedTuple):
    """Whom to ask beside the processes; bus: None where the log is in the memory of `headrace up`."""

    bus: Bus | None
    prometheus_url: str | None
    api_key: str | None


def look(urls: Mapping[str, str | None]) -> Look:
    """Ask every process how it is; urls: as discovery.process_urls returns them."""
    return Look(time.perf_counter(), inspect_processes(urls))


def overview(earlier: Look, now: Look, sources: Sources) -> Overview:
    """Return everything about a platform; what passes is told from the time between two looks."""
    before, after = ({one.name: one.scrape for one in one_look.processes} for one_look in (earlier, now))
    scrapes = list(after.values())
    drift, drift_problem = _drift(now.processes, sources.api_key)
    alerts, alerts_from = _alerts(now.processes, sources.prometheus_url)
    dead_letters, log_problem = _log(sources.bus)
    entries, seconds = journal_of(scrapes)
    return Overview(
        taken_at=SystemClock().now(),
        processes=process_statuses(now.processes),
        flow=flow_between(before, after, max(now.at_seconds - earlier.at_seconds, _SECONDS_MIN)),
        models=models_in_service(scrapes),
        evidence=evidence_of(scrapes),
        drift=drift,
        drift_problem=drift_problem,
        alerts=alerts,
        alerts_from=alerts_from,
        dead_letters=dead_letters,
        open_access=[one.name for one in now.processes if one.scrape.total("headrace_open_access")],
        journal_entries=entries,
        journal_seconds=seconds,
        log_problem=log_problem,
    )


def _drift(processes: list[Process], api_key: str | None) -> tuple[list[ModelStatus] | None, str | None]:
    url = next((one.base_url for one in processes if one.service == "drift" and one.base_url), None)
    if url is None:
        return None, "its address is not known"
    headers = {"X-API-Key": api_key} if api_key else {}
    try:
        answer = httpx.get(f"{url}/v1/drift", headers=headers, timeout=_HTTP_SECONDS_MAX)
        if answer.status_code in {401, 403}:
            return None, "it asks for the key of an admin: set HEADRACE_API_KEY"
        return msgspec.json.decode(answer.raise_for_status().content, type=Snapshot).models, None
    except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError) as error:
        return None, f"it does not tell: {error}"


def _alerts(processes: list[Process], prometheus_url: str | None) -> tuple[list[Alert], str]:
    if prometheus_url is None:
        return wrong_now(processes), OWN_RULES
    try:
        return firing(prometheus_url), f"Prometheus at {prometheus_url}"
    except PlatformError as error:
        return wrong_now(processes), f"{OWN_RULES}, since {error}"


def _log(bus: Bus | None) -> tuple[dict[str, int] | None, str | None]:
    if bus is None:
        return None, None
    try:
        return {topic: count for topic, count in waiting_counts(bus).items() if count}, None
    except BusUnavailableError as error:
        return None, str(error)
