"""`headrace doctor`: what is wrong, and what to do about it."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer
from rich.markup import escape

from services.cli.terminal import HOME, Home, console, plain_table
from services.local.checks.finding import Finding
from services.local.doctor import diagnose
from shared.runtime.clock import SystemClock

_MARKS = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "failed": "[red]failed[/]"}
_NOT_CHECKED = "[dim]not checked[/]"


def doctor(
    home: Home = HOME,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="A list of findings, as JSON.")] = False,
) -> None:
    """Look at everything: Kafka, Redis, models, services, settings, this machine; say what to do about what is wrong.

    Exits with status 1 when something failed; warnings leave it 0.
    """
    findings = diagnose(home, os.environ, clock=SystemClock())
    if as_json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(findings), indent=2) + b"\n")
    else:
        _show(findings)
    raise typer.Exit(1 if any(finding.outcome == "failed" for finding in findings) else 0)


def _show(findings: Sequence[Finding]) -> None:
    table = plain_table("what", "", "found")
    for finding in findings:
        advice = f"\n[bold]{escape(finding.advice)}[/]" if finding.advice else ""
        mark = _MARKS.get(finding.outcome, _NOT_CHECKED)
        table.add_row(f"{finding.area}: {escape(finding.subject)}", mark, escape(finding.found) + advice)
    console.print(table)
    counts = {outcome: sum(finding.outcome == outcome for finding in findings) for outcome in ("failed", "warning")}
    console.print(f"\n{len(findings)} looked at: {counts['failed']} failed, {counts['warning']} warning(s)")
