"""What is wrong now: the alerts that Prometheus says are firing, or without it what the processes' own metrics say."""

import operator
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

import httpx
import msgspec
from msgspec import Struct

from services.local.errors import PlatformError
from services.local.inspection import Process

SEVERITIES = ("page", "ticket")
"""Of alerts that somebody must do something about; others keep watch over the watching."""
PROMETHEUS_VARIABLE = "HEADRACE_PROMETHEUS_URL"
_HTTP_SECONDS_MAX = 5.0


class Alert(Struct, frozen=True, kw_only=True):
    """One thing that is wrong; since: when Prometheus first saw it, before it had lasted long enough to fire."""

    name: str
    severity: str
    summary: str
    since: datetime | None = None


class _Firing(Struct):
    labels: dict[str, str]
    annotations: dict[str, str]
    state: str
    activeAt: datetime  # noqa: N815 - Prometheus' name


class _Data(Struct):
    alerts: list[_Firing]


class _Answer(Struct):
    data: _Data


class _Rule(NamedTuple):
    """Wrong where the sum over a process's samples stands so to the bound; value, process and labels are filled in."""

    metric: str
    compare: Callable[[float, float], bool]
    bound: float
    severity: str
    summary: str


_RULES = (
    _Rule("headrace_state_complete", operator.lt, 1, "page", "the state was lost: headrace rebuild"),
    _Rule("headrace_model_waiting_version", operator.gt, 0, "page", "{model} {value:.0f} cannot be loaded as {role}"),
    _Rule("headrace_loop_lag_seconds", operator.gt, 30, "ticket", "{process} is {value:.0f} s behind"),
    _Rule("headrace_journal_oldest_seconds", operator.gt, 30, "ticket", "an answer waits {value:.0f} s for the log"),
    _Rule("headrace_probing_keys", operator.gt, 0, "ticket", "{value:.0f} keys ask about the same payment repeatedly"),
)


def firing(url: str) -> list[Alert]:
    """Return what fires by the account of a Prometheus; raises PlatformError when it does not tell."""
    try:
        answer = httpx.get(f"{url.rstrip('/')}/api/v1/alerts", timeout=_HTTP_SECONDS_MAX).raise_for_status()
        told = msgspec.json.decode(answer.content, type=_Answer)
    except (httpx.HTTPError, httpx.InvalidURL, msgspec.MsgspecError) as error:
        raise PlatformError(f"Prometheus at {url} does not tell which alerts fire: {error}") from error
    return [
        Alert(
            name=alert.labels.get("alertname", "unnamed"),
            severity=alert.labels.get("severity", "none"),
            summary=alert.annotations.get("summary", ""),
            since=alert.activeAt,
        )
        for alert in told.data.alerts
        if alert.state == "firing" and alert.labels.get("severity") in SEVERITIES
    ]


def wrong_now(processes: Iterable[Process]) -> list[Alert]:
    """Return what the processes' metrics say is wrong at this moment."""
    return [alert for process in processes for rule in _RULES for alert in _broken(rule, process)]


def _broken(rule: _Rule, process: Process) -> Iterator[Alert]:
    for labels, value in process.scrape.each(rule.metric):
        if rule.compare(value, rule.bound):
            summary = rule.summary.format(value=value, process=process.name, **labels)
            yield Alert(name=rule.metric, severity=rule.severity, summary=summary)
