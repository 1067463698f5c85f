"""The services: ready, of one version, not taken over by one another, with nothing waiting on a disk."""

from collections.abc import Iterator, Mapping, Sequence

from services.local.checks.finding import Area, Finding
from services.local.discovery import url_variable
from services.local.inspection import Process, inspect_processes

_JOURNAL_SECONDS_MAX = 60.0


def check_services(area: Area, urls: Mapping[str, str | None]) -> Sequence[Finding]:
    """Ask every process, replicas too; urls: as discovery.process_urls returns them."""
    processes = inspect_processes(urls)
    found = [_ready(area, process) for process in processes]
    return [*found, *_versions(area, processes), *_taken_over(area, processes), *_journal(area, processes)]


def _ready(area: Area, process: Process) -> Finding:
    if not process.base_url:
        return area.not_checked(process.name, "its address is not known", f"set {url_variable(process.service)}")
    if process.problem is not None:
        return area.failed(process.name, process.problem, "see its log, and docs/runbook.md")
    return area.ok(process.name, f"{process.base_url} is ready")


def _versions(area: Area, processes: Sequence[Process]) -> Iterator[Finding]:
    versions = {
        process.name: f"{labels['version']} ({labels['commit'] or 'no commit'})"
        for process in processes
        for labels, _ in process.scrape.each("headrace_build_info")
    }
    if len(set(versions.values())) > 1:
        differing = ", ".join(f"{name} {version}" for name, version in versions.items())
        yield area.warning("versions", f"not the same: {differing}", "restart those that were not upgraded")
    elif versions:
        yield area.ok("versions", f"all of {next(iter(versions.values()))}")


def _taken_over(area: Area, processes: Sequence[Process]) -> Iterator[Finding]:
    counts = {process.name: process.scrape.total("headrace_loop_fenced_total") for process in processes}
    fenced = [f"{name} {count:.0f} times" for name, count in counts.items() if count]
    if fenced:
        advice = "usual while replicas come and go; if it grows, two processes have the same HEADRACE_INSTANCE"
        yield area.warning("taken over", f"batches were given up to another process: {', '.join(fenced)}", advice)
    elif any(count is not None for count in counts.values()):
        yield area.ok("taken over", "nobody was put out of a group by another process")


def _journal(area: Area, processes: Sequence[Process]) -> Iterator[Finding]:
    entries = [count for one in processes for _, count in one.scrape.each("headrace_journal_waiting_entries")]
    ages = [age for one in processes for _, age in one.scrape.each("headrace_journal_oldest_seconds")]
    found = f"{sum(entries):.0f} payments answered over REST wait for the log"
    if any(entries) and max(ages, default=0.0) > _JOURNAL_SECONDS_MAX:
        advice = "see that Kafka answers; they are sent once it does"
        yield area.warning("journal", f"{found}, the oldest for {max(ages):.0f} s", advice)
    elif entries:
        yield area.ok("journal", found if any(entries) else "nothing waits for the log")
