"""`headrace policy`: what decides about payments: look, check, try on the past, publish, go back."""

import contextlib
import getpass
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import asdict

from services.cli.backtest import backtested, tables
from services.cli.terminal import HOME, Home, console, open_bus, plain_table
from services.cli.thresholds import with_numbers
from services.scoring.policy.document import PolicyDocument, PolicyError, Problem
from services.scoring.policy.policy import Policy, checked, policy_of
from services.scoring.policy.publishing import Author, History, going_back, policy_in, publication, version_of
from services.training.model_log import ModelLog
from shared.bus.base import Bus
from shared.bus.chained_log import ChainedLog
from shared.contracts.events import PolicyEvent, Verdict
from shared.contracts.topics import POLICIES
from shared.runtime.clock import SystemClock

policy = typer.Typer(
    name="policy",
    help="Thresholds, rules and lists: what decides about payments beside the model's score.",
    no_args_is_help=True,
)

_DIGEST_DIGITS = 12

_File = Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="A policy, in YAML.")]
_Days = Annotated[int, typer.Option(min=1, help="How many days of the past, the newest whose labels are known.")]
_Reason = Annotated[str, typer.Option(help="Why; kept with the event.")]
_By = Annotated[str | None, typer.Option(metavar="NAME", help="Who decided it; by default the user logged in.")]


@policy.command()
def check(file: _File) -> None:
    """Tell whether a policy could be published, and what it does."""
    document = checked(_text(file))
    for what, told in _facts(document):
        console.print(f"{what:<14}{told}", markup=False, soft_wrap=True)
    if document.rules:
        table = plain_table("rule", "action", "when")
        for rule in document.rules:
            table.add_row(rule.code, rule.action, rule.when.strip())
        console.print()
        console.print(table)
    console.print(f"\n{file} can be published.", markup=False, soft_wrap=True)


@policy.command()
def backtest(
    file: _File,
    home: Home = HOME,
    *,
    days: _Days = 30,
    fallback: Annotated[Verdict, typer.Option(help="The verdict where there was no score.")] = "approve",
) -> None:
    """Show what a policy would have done with archived payments, beside what was decided then."""
    text = _text(file)
    if not checked(text).is_resolved:
        with contextlib.closing(open_bus(home)) as bus:
            text = with_numbers(text, ModelLog(bus).history(), home, days=days)
    period, outcome = backtested(policy_of(text, version=0), home, days=days, fallback=fallback)
    for table in tables(period, outcome):
        console.print(table)
        console.print()


@policy.command()
def publish(file: _File, home: Home = HOME, *, reason: _Reason, by: _By = None, days: _Days = 30) -> None:
    """Put a policy in force; scoring takes it up while it runs. Aims become numbers, found on the past."""
    text, author = _text(file), _author(by, reason)
    document = checked(text)
    if document.resolved is not None:
        told = "take out the section `resolved`: publishing finds these numbers anew"
        raise PolicyError([Problem("$.resolved", told)], told)
    with contextlib.closing(open_bus(home)) as bus:
        text = with_numbers(text, ModelLog(bus).history(), home, days=days)
        _announce(bus, lambda history: publication(history, text, author))


@policy.command()
def rollback(
    home: Home = HOME,
    *,
    version: Annotated[
        int | None, typer.Option("--to", min=1, metavar="VERSION", help="Which one; else the one before.")
    ] = None,
    reason: _Reason = "asked for on the command line",
    by: _By = None,
) -> None:
    """Put an earlier policy in force again, as a new version; scoring takes it up while it runs."""
    author = _author(by, reason)
    with contextlib.closing(open_bus(home)) as bus:
        _announce(bus, lambda history: going_back(history, author, version=version))


@policy.command()
def show(
    version: Annotated[int | None, typer.Argument(min=1, metavar="VERSION", help="By default the newest.")] = None,
    home: Home = HOME,
) -> None:
    """Print a published policy, byte for byte: its SHA-256 is the digest that was announced."""
    typer.echo(version_of(_history(home), version).document, nl=False)


@policy.command()
def history(home: Home = HOME) -> None:
    """Show every version that was published, newest first; the newest is marked with *."""
    events = _history(home).events
    table = plain_table("no.", "published", "by", "digest", "reason")
    for event in reversed(events):
        mark = "*" if event is events[-1] else ""
        published_at = f"{event.occurred_at:%Y-%m-%d %H:%M}"
        digest = event.policy_digest[:_DIGEST_DIGITS]
        table.add_row(f"{event.policy_version}{mark}", published_at, event.actor, digest, event.reason)
    console.print(table if events else "no policy published yet: the thresholds that come with each model decide")


def published(home: Path, version: int) -> Policy:
    """Return a published policy.

    Raises:
        PolicyError: there is no such version, or it cannot be used any more.
        PlatformError: there is no platform whose log could be read.
    """
    return policy_in(version_of(_history(home), version))


def _log(bus: Bus) -> ChainedLog[PolicyEvent]:
    return ChainedLog(bus, POLICIES, PolicyEvent)


def _history(home: Path) -> History:
    with contextlib.closing(open_bus(home)) as bus:
        return _log(bus).chain()


def _announce(bus: Bus, decide: Callable[[History], PolicyEvent]) -> None:
    for event in _log(bus).append(lambda history: [decide(history)]):
        console.print(
            f"policy version {event.policy_version} is in force from now on; digest {event.policy_digest}, "
            f"event {event.event_id} by {event.actor}: {event.reason}",
            markup=False,
            soft_wrap=True,
        )
        for what, told in _facts(policy_in(event).document):
            if what == "thresholds":
                console.print(told, markup=False, soft_wrap=True)


def _author(by: str | None, reason: str) -> Author:
    return Author(actor=by or getpass.getuser(), reason=reason, at=SystemClock().now())


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except UnicodeDecodeError as error:
        told = f"{file} is not UTF-8: {error}; save it as UTF-8"
        raise PolicyError([Problem("$", told)], told) from error


def _facts(document: PolicyDocument) -> list[tuple[str, str]]:
    lists = " and ".join(document.lists) or "none"
    explained = ", ".join(verdict for verdict in typing.get_args(Verdict) if verdict in document.explain) or "nothing"
    return [
        ("thresholds", _thresholds_told(document)),
        ("lists", lists),
        ("explained", f"{explained}; at most {document.reasons_max} reasons of the model"),
        ("rules", str(len(document.rules))),
    ]


def _thresholds_told(document: PolicyDocument) -> str:
    numbers, choice, resolved = document.numbers, document.thresholds, document.resolved
    if numbers is not None:
        told = f"review from {numbers.review:.4g}, decline from {numbers.decline:.4g}"
        if resolved is not None:
            told += (
                f", found on {resolved.payments:,} payments ({resolved.frauds:,} of them fraud) from {resolved.since} "
                f"to {resolved.until} that model version {resolved.model_version} scored"
            )
        return told
    if choice is None:
        return "those that come with each model"
    aims = []
    if choice.costs is not None:
        aims.append("lowest cost at " + ", ".join(f"{name} {cost:g}" for name, cost in asdict(choice.costs).items()))
    if choice.reviews_a_day is not None:
        aims.append(f"{choice.reviews_a_day} reviews a day")
    return "; ".join(aims) + "; found when it is published"
