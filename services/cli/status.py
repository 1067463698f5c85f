"""`headrace status`: is all well, on one screen."""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from services.cli.terminal import HOME, Home, console, open_bus, plain_table
from services.drift.shown.status import ModelStatus
from services.local.alerts import PROMETHEUS_VARIABLE
from services.local.discovery import discover, process_urls
from services.local.overview import Evidence, Overview, ProcessStatus
from services.local.survey import OWN_RULES, Look, Sources, look, overview

_SECONDS = 1.0
_LOG_EVERY_SECONDS = 10.0
"""--watch asks the log no more often: dead-letter topics are read from their start."""
_SHOWN_MAX = 4
_PROBLEM_CHARACTERS_MAX = 300


def status(
    home: Home = HOME,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    prometheus_url: Annotated[
        str | None,
        typer.Option("--prometheus", envvar=PROMETHEUS_VARIABLE, help="Which one to ask what alerts fire."),
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="HEADRACE_API_KEY", show_envvar=True, help="Of an admin, for what drift sees.")
    ] = None,
) -> None:
    """Show whether all is well: processes, what passes, models, drift, alerts, dead letters.

    Takes a second: rates and latencies are of that second. Exits with status 1 when something is not ready; with
    --watch, at the last look.
    """
    addresses = discover(home)
    urls = process_urls(home, os.environ)
    with contextlib.closing(open_bus(home)) if addresses.kafka else contextlib.nullcontext() as bus:
        sources = Sources(bus, prometheus_url or addresses.prometheus, api_key)
        earlier = look(urls)
        time.sleep(_SECONDS)
        now = look(urls)
        seen = overview(earlier, now, sources)
        if watch:
            seen = _watch(urls, now, seen, sources)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(seen)))
    elif not watch:
        console.print(_screen(seen))
    raise typer.Exit(0 if seen.is_ready else 1)


def _watch(urls: Mapping[str, str | None], earlier: Look, seen: Overview, sources: Sources) -> Overview:
    """Show it anew until Ctrl-C; return what was seen last."""
    with contextlib.suppress(KeyboardInterrupt), Live(_screen(seen), console=console, screen=True) as live:
        for latest in watched(urls, earlier, seen, sources, log_every_seconds=_LOG_EVERY_SECONDS):
            live.update(_screen(latest), refresh=True)
            seen = latest
    return seen


def watched(
    urls: Mapping[str, str | None], earlier: Look, seen: Overview, sources: Sources, *, log_every_seconds: float
) -> Iterator[Overview]:
    """Look again and again, every second; between two looks at the log, what it held and said stays as it was seen."""
    log_seen_at = earlier.at_seconds
    while True:
        time.sleep(_SECONDS)
        now = look(urls)
        if now.at_seconds - log_seen_at >= log_every_seconds:
            seen = overview(earlier, now, sources)
            log_seen_at = now.at_seconds
        else:
            kept = {"dead_letters": seen.dead_letters, "log_problem": seen.log_problem}
            seen = msgspec.structs.replace(overview(earlier, now, sources._replace(bus=None)), **kept)
        yield seen
        earlier = now


def _screen(seen: Overview) -> RenderableType:
    facts = Table.grid(padding=(0, 2, 0, 0))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column()
    for name, told in _facts(seen):
        facts.add_row(name, told)
    return Group(_verdict(seen), "", _process_table(seen), *_problems(seen), "", facts)


def _verdict(seen: Overview) -> Text:
    waiting = [process.name for process in seen.processes if process.problem is not None]
    if seen.log_problem is not None:
        waiting.append("the log")
    if waiting:
        return Text(f"NOT READY: {', '.join(waiting)}", "bold red")
    wrong = len(seen.alerts) + sum(not model.is_quiet for model in seen.drift or ())
    if wrong:
        return Text(f"READY, BUT LOOK: {wrong} thing(s) below", "bold yellow")
    return Text("ALL WELL", "bold green")


def _process_table(seen: Overview) -> Table:
    table = plain_table("process", "ready", "up for", "version", "waiting", "behind", "memory")
    for column in table.columns[4:]:
        column.justify = "right"
    for one in seen.processes:
        table.add_row(
            one.name,
            "[green]yes[/]" if one.problem is None else "[red]no[/]",
            _ago(seen.taken_at, one.since),
            one.version or "",
            "" if one.lag_records is None else f"{one.lag_records:,}",
            "" if one.lag_seconds is None else f"{one.lag_seconds:.1f} s",
            "" if one.memory_bytes is None else f"{one.memory_bytes / 1e6:,.0f} MB",
        )
    return table


def _problems(seen: Overview) -> Iterator[Text]:
    for one in seen.processes:
        if one.problem is not None:
            yield Text(_problem(one), "red")


def _problem(one: ProcessStatus) -> str:
    told = f"{one.name}: {one.problem}"
    return told if len(told) <= _PROBLEM_CHARACTERS_MAX else f"{told[:_PROBLEM_CHARACTERS_MAX]}…"


def _facts(seen: Overview) -> Iterator[tuple[str, RenderableType]]:
    flow = seen.flow
    latency = "" if flow.p99_ms is None else f", decided within {flow.p50_ms:.0f} ms (p50), {flow.p99_ms:.0f} ms (p99)"
    yield "now", f"{flow.payments:,.0f} payments/s, {flow.decisions:,.0f} decisions/s{latency}"
    yield "", f"{flow.recommendations:,.0f} recommendations/s, {flow.failed_calls:,.0f} calls/s failed (5xx)"
    yield from _models(seen)
    yield from _drift(seen)
    yield from _alerts(seen)
    if seen.log_problem is not None:
        yield "log", f"[red]{escape(seen.log_problem)}[/]"
    if seen.dead_letters is None:
        yield "dead letters", "not known" if seen.log_problem else "not known: the log is in memory of `headrace up`"
    else:
        held = ", ".join(f"{topic} {count:,}" for topic, count in seen.dead_letters.items())
        yield "dead letters", f"[yellow]{held}[/]: headrace dlq list" if held else "none"
    if seen.journal_entries:
        yield "journal", f"{seen.journal_entries:,} answers wait for the log, the oldest {seen.journal_seconds:.0f} s"
    if seen.open_access:
        everywhere = len(seen.open_access) == len(seen.processes)
        by = "any process" if everywhere else ", ".join(seen.open_access)
        yield "access", f"no key is asked for by {by}: headrace keys create"


def _models(seen: Overview) -> Iterator[tuple[str, str]]:
    title = "models"
    for one in seen.models:
        age = f", trained {_ago(seen.taken_at, one.trained_at)} ago" if one.trained_at else ""
        yield title, f"{one.model} {one.version}, {one.role}{age}"
        title = ""
    if not seen.models:
        yield title, "none in service yet: headrace train"


def _drift(seen: Overview) -> Iterator[tuple[str, str]]:
    told = {model.model_name: model for model in seen.drift or ()}
    title = "drift"
    for evidence in seen.evidence:
        yield title, _evidence(evidence, told.get(evidence.model))
        title = ""
    for model in told.values():
        if model.problem is not None:
            yield title, f"[red]{escape(model.model_name)} is not watched[/]: {escape(model.problem)}"
        for alarm in model.alarms[:1] if not model.is_quiet else ():
            yield "", f"[red]alarm[/] {alarm.occurred_at:%Y-%m-%d %H:%M}: {escape(alarm.explanation[:200])}"
        if model.waits_for:
            yield "", f"waits for: {escape(model.waits_for)}"
    if seen.drift_problem is not None:
        yield title, escape(f"more is not known: {seen.drift_problem}")
    elif not (seen.evidence or told):
        yield title, "no model to watch"


def _evidence(evidence: Evidence, model: ModelStatus | None) -> str:
    verdict = "" if model is None else "[green]quiet[/], " if model.is_quiet else "[red]alarmed[/], "
    state = f"; retraining: {evidence.state.replace('_', ' ')}" if evidence.state else ""
    return (
        f"{evidence.model}: {verdict}{evidence.family} has {evidence.evidence_days:,.1f} of "
        f"{evidence.threshold_days:,.0f} days of evidence{state}"
    )


def _alerts(seen: Overview) -> Iterator[tuple[str, str]]:
    if not seen.alerts:
        yield "alerts", f"none, says {escape(seen.alerts_from)}"
    title = "alerts"
    for alert in seen.alerts[:_SHOWN_MAX]:
        colour = "red" if alert.severity == "page" else "yellow"
        since = f", for {_ago(seen.taken_at, alert.since)}" if alert.since else ""
        named = alert.summary if seen.alerts_from.startswith(OWN_RULES) else f"{alert.name}: {alert.summary}"
        yield title, f"[{colour}]{alert.severity}[/] {escape(named)}{since}"
        title = ""
    if len(seen.alerts) > _SHOWN_MAX:
        yield "", f"and {len(seen.alerts) - _SHOWN_MAX} more"


def _ago(now: datetime, since: datetime | None) -> str:
    """Return how long ago something was, in its largest unit."""
    if since is None:
        return ""
    passed = now - since
    for unit, told in ((timedelta(days=2), "days"), (timedelta(hours=2), "hours"), (timedelta(minutes=2), "min")):
        if passed >= unit:
            return f"{passed / unit * 2:.0f} {told}"
    return f"{max(passed.total_seconds(), 0):.0f} s"
