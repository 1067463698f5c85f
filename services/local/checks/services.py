"""The services: ready, of one version, not taken over by one another, with nothing waiting on a disk."""

from collections.abc import Iterator, Mapping, Sequence

import httpx

from services.local.checks.finding import Area, Finding
from services.local.discovery import url_variable
from services.local.processes import http_problem
from shared.runtime.metrics.exposition import parse_exposition

_HTTP_SECONDS_MAX = 5.0
_JOURNAL_SECONDS_MAX = 60.0


def check_services(area: Area, services: Mapping[str, str], names: Sequence[str]) -> Sequence[Finding]:
    """Ask every service; services: base URL by name. names: of all that there should be."""
    known = [name for name in names if name in services]
    found = [_ready(area, name, services[name]) for name in known]
    found += [
        area.not_checked(name, "its address is not known", f"set {url_variable(name)}")
        for name in names
        if name not in services
    ]
    told = {name: metrics for name in known if (metrics := _metrics(services[name])) is not None}
    return [*found, *_versions(area, told), *_taken_over(area, told), *_journal(area, told)]


def _ready(area: Area, name: str, base_url: str) -> Finding:
    problem = http_problem(base_url)
    if problem is not None:
        return area.failed(name, problem, "see its log, and docs/runbook.md")
    return area.ok(name, f"{base_url} is ready")


_Metrics = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


def _metrics(base_url: str) -> _Metrics | None:
    """Return every sample of a service; None where it does not answer, which its readiness tells."""
    try:
        answer = httpx.get(f"{base_url}/metrics", timeout=_HTTP_SECONDS_MAX)
    except httpx.HTTPError:
        return None
    return {(sample.name, frozenset(sample.labels.items())): sample.value for sample in parse_exposition(answer.text)}


def _of_name(metrics: _Metrics, name: str) -> Iterator[tuple[dict[str, str], float]]:
    return ((dict(labels), value) for (named, labels), value in metrics.items() if named == name)


def _versions(area: Area, told: Mapping[str, _Metrics]) -> Iterator[Finding]:
    versions = {
        name: f"{labels['version']} ({labels['commit'] or 'no commit'})"
        for name, metrics in told.items()
        for labels, _ in _of_name(metrics, "headrace_build_info")
    }
    if len(set(versions.values())) > 1:
        differing = ", ".join(f"{name} {version}" for name, version in versions.items())
        yield area.warning("versions", f"not the same: {differing}", "restart those that were not upgraded")
    elif versions:
        yield area.ok("versions", f"all of {next(iter(versions.values()))}")


def _taken_over(area: Area, told: Mapping[str, _Metrics]) -> Iterator[Finding]:
    counts = {
        name: sum(value for _, value in _of_name(metrics, "headrace_loop_fenced_total"))
        for name, metrics in told.items()
    }
    fenced = [f"{name} {count:.0f} times" for name, count in counts.items() if count]
    if fenced:
        advice = "usual while replicas come and go; if it grows, two processes have the same HEADRACE_INSTANCE"
        yield area.warning("taken over", f"batches were given up to another process: {', '.join(fenced)}", advice)
    elif counts:
        yield area.ok("taken over", "nobody was put out of a group by another process")


def _journal(area: Area, told: Mapping[str, _Metrics]) -> Iterator[Finding]:
    entries = [count for metrics in told.values() for _, count in _of_name(metrics, "headrace_journal_waiting_entries")]
    ages = [age for metrics in told.values() for _, age in _of_name(metrics, "headrace_journal_oldest_seconds")]
    found = f"{sum(entries):.0f} payments answered over REST wait for the log"
    if any(entries) and max(ages, default=0.0) > _JOURNAL_SECONDS_MAX:
        advice = "see that Kafka answers; they are sent once it does"
        yield area.warning("journal", f"{found}, the oldest for {max(ages):.0f} s", advice)
    elif entries:
        yield area.ok("journal", found if any(entries) else "nothing waits for the log")
