"""`headrace drift`: do the models in force still fit, in a terminal or as a page."""

import math
from pathlib import Path
from typing import Annotated

import httpx
import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from services.cli.terminal import HOME, Home, console, plain_table
from services.drift.evidence import by_chance
from services.drift.shown.status import Family, ModelStatus, Snapshot
from services.drift.signals import Signal
from services.local.discovery import discover, url_variable
from services.local.errors import PlatformError
from shared.contracts.events import DriftAlarm

drift = typer.Typer(
    name="drift",
    help="Do the models in force still fit? What is watched, what speaks for a change, what cannot be seen.",
    no_args_is_help=True,
)

_Url = Annotated[
    str | None,
    typer.Option(
        "--url", envvar=url_variable("drift"), help="Address of drift; by default that of the running platform."
    ),
]
_ApiKey = Annotated[
    str | None,
    typer.Option(
        envvar="HEADRACE_API_KEY",
        show_envvar=True,
        help="Of an admin, where drift asks for one; better in the variable.",
    ),
]
_HTTP_SECONDS_MAX = 60.0
_BAR_CHARACTERS = 20
_NAME_CHARACTERS_MAX = 24
_SIGNALS_SHOWN = 8
_ALARMS_SHOWN = 5
_MARKS = {"alarmed": "[red]alarmed[/]", "quiet": "[green]quiet[/]"}


@drift.command()
def status(home: Home = HOME, *, url: _Url = None, api_key: _ApiKey = None) -> None:
    """Show each model in force: evidence against the budget, what speaks loudest, what cannot be seen, alarms.

    Exits with status 0 when all is quiet, with 1 when something is alarmed or a model cannot be watched.
    """
    snapshot = msgspec.json.decode(_fetched("/v1/drift", home, url, api_key), type=Snapshot)
    for model in snapshot.models:
        _show(model)
    if not snapshot.models:
        console.print("no model in force yet: see `headrace train`")
    raise typer.Exit(0 if all(model.is_quiet for model in snapshot.models) else 1)


@drift.command()
def report(
    home: Home = HOME,
    *,
    out: Annotated[Path, typer.Option(metavar="FILE", dir_okay=False, help="Where the page goes.")] = Path(
        "drift.html"
    ),
    url: _Url = None,
    api_key: _ApiKey = None,
) -> None:
    """Write a page with pictures: distributions then and now, which features, since when, how sure."""
    if not out.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {out.absolute().parent}; make it first", param_hint="--out")
    out.write_bytes(_fetched("/v1/drift/report", home, url, api_key))
    console.print(f"Wrote {out}; open it in a browser.", markup=False, soft_wrap=True)


def _fetched(path: str, home: Path, url: str | None, api_key: str | None) -> bytes:
    """Return what drift answers; raises PlatformError when it does not, or refuses."""
    base_url = url or discover(home).services.get("drift")
    if base_url is None:
        raise PlatformError(f"the address of drift is not known: set {url_variable('drift')}")
    headers = {"X-API-Key": api_key} if api_key else {}
    try:
        answer = httpx.get(f"{base_url.rstrip('/')}{path}", headers=headers, timeout=_HTTP_SECONDS_MAX)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise PlatformError(f"drift at {base_url} does not answer: {error}; see `headrace status`") from error
    if answer.status_code in {401, 403}:
        raise PlatformError(
            f"drift at {base_url} asks for the key of an admin: set HEADRACE_API_KEY; "
            "`headrace keys create --role admin` makes one"
        )
    if answer.is_error:
        raise PlatformError(f"drift at {base_url} answered {path} with status {answer.status_code}; see its log")
    return answer.content


def _show(model: ModelStatus) -> None:
    verdict = "[green]quiet[/]" if model.is_quiet else "[red]not watched[/]" if model.problem else "[red]alarmed[/]"
    console.print(
        f"[bold]{escape(model.model_name)} {model.model_version}[/]  {verdict}  in force since {_minute(model)}",
        soft_wrap=True,
    )
    if model.problem:
        console.print(f"  {escape(model.problem)}", soft_wrap=True)
    used = model.needless_retrainings
    console.print(
        f"  budget: {model.alarms_a_quarter:g} false alarm(s) a quarter; needless retrainings in the last one: {used}"
    )
    for table in (_family_table(model.families), _signal_table(model)):
        if table.row_count:
            console.print(table)
    if model.request is not None:
        asked = f"{model.request.occurred_at:%Y-%m-%d %H:%M}"
        console.print(f"  asked for a new model, {asked}: {escape(model.request.reason)}", soft_wrap=True)
    if model.waits_for:
        console.print(f"  waits for: {escape(model.waits_for)}", soft_wrap=True)
    for told in model.blind:
        console.print(f"  cannot see: {escape(told)}", soft_wrap=True)
    for alarm in model.alarms[:_ALARMS_SHOWN]:
        console.print(f"  {_told(alarm)}", soft_wrap=True)
    console.print()


def _minute(model: ModelStatus) -> str:
    trained = "" if model.trained_until is None else f", trained on what came until {model.trained_until:%Y-%m-%d}"
    newest = "" if model.newest is None else f", newest looked at {model.newest:%Y-%m-%d %H:%M}"
    return f"{model.since:%Y-%m-%d %H:%M}{trained}{newest} UTC"


def _family_table(families: list[Family]) -> Table:
    table = plain_table("  evidence", "towards an alarm", "days of", "by chance")
    for family in families:
        colour = "red" if family.is_alarmed else "green"
        needed = f"{_days(family.evidence_days)} of {family.threshold_days:,.0f}"
        bar = f"[{colour}]{_bar(family)}[/]"
        table.add_row(f"  {escape(family.name)}", bar, needed, by_chance(family.evidence_days))
    return table


def _bar(family: Family) -> str:
    """Return how far the evidence is on its way, by its logarithm: it grows by factors."""
    part = math.log1p(family.evidence_days) / math.log1p(family.threshold_days)
    filled = min(int(part * _BAR_CHARACTERS), _BAR_CHARACTERS)
    return "█" * filled + "░" * (_BAR_CHARACTERS - filled)


def _days(days: float) -> str:
    return f"{days:,.1f}" if days < 1e6 else f"{days:.0e}"


def _signal_table(model: ModelStatus) -> Table:
    table = plain_table("  speaks loudest", "state", "now", "expected", "by chance", "since")
    for signal in model.leading(_SIGNALS_SHOWN):
        table.add_row(
            f"  {escape(_name(signal))}",
            _MARKS.get(signal.state, signal.state),
            _figure(signal.value),
            _figure(signal.expected),
            by_chance(signal.evidence_days),
            "" if signal.since is None else f"{signal.since:%Y-%m-%d}",
        )
    return table


def _name(signal: Signal) -> str:
    named = ", ".join(filter(None, (signal.name, signal.segment)))
    return named if len(named) <= _NAME_CHARACTERS_MAX else named[: _NAME_CHARACTERS_MAX - 1] + "…"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _told(alarm: DriftAlarm) -> str:
    where = f" in {alarm.segment}" if alarm.segment else ""
    follows = f" {alarm.follows}" if alarm.follows else ""
    head = (
        f"alarm {alarm.occurred_at:%Y-%m-%d %H:%M}, {alarm.kind}, {alarm.signal}{where} (version {alarm.model_version})"
    )
    return escape(f"{head}: {alarm.explanation}{follows}")
