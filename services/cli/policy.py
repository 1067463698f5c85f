"""`headrace policy`: what decides about payments, or builds recommendations: look, check, try, publish, go back."""

import contextlib
import getpass
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli.backtest import backtested, tables
from services.cli.policy_facts import Facts, payment_facts, recommendation_facts, thresholds_told
from services.cli.terminal import HOME, Home, console, open_bus, plain_table
from services.cli.thresholds import with_numbers
from services.scoring.policy.document import PolicyError, Problem
from services.scoring.policy.kinds import PAYMENTS, Kind
from services.scoring.policy.policy import Policy, checked, policy_of
from services.scoring.policy.publishing import (
    Author,
    History,
    announced,
    going_back,
    policy_in,
    publication,
    version_of,
)
from services.scoring.recommendations.policy.policy import RECOMMENDATIONS, recommendation_policy_of
from services.training.model_log import ModelLog
from shared.bus.base import Bus
from shared.bus.chained_log import ChainedLog
from shared.contracts.events import PolicyEvent, Verdict
from shared.contracts.topics import POLICIES
from shared.runtime.clock import SystemClock

policy = typer.Typer(
    name="policy",
    help="What counts beside a model's score: thresholds, rules and lists for payments, or how lists are put together.",
    no_args_is_help=True,
)

_DIGEST_DIGITS = 12


class _For(StrEnum):
    PAYMENTS = PAYMENTS.name
    RECOMMENDATION = RECOMMENDATIONS.name


_KINDS: dict[str, Kind[Any]] = {kind.name: kind for kind in (PAYMENTS, RECOMMENDATIONS)}
_NONE_YET = {
    PAYMENTS.name: "the thresholds that come with each model decide",
    RECOMMENDATIONS.name: "lists are as the model ranks them, without what was bought or seen",
}

_File = Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="A policy, in YAML.")]
_Days = Annotated[int, typer.Option(min=1, help="How many days of the past, the newest whose labels are known.")]
_Reason = Annotated[str, typer.Option(help="Why; kept with the event.")]
_Of = Annotated[_For, typer.Option("--for", help="What the policy is for.")]
_By = Annotated[str | None, typer.Option(metavar="NAME", help="Who decided it; by default the user logged in.")]


@policy.command()
def check(file: _File, *, of: _Of = _For.PAYMENTS) -> None:
    """Tell whether a policy could be published, and what it does."""
    found = _facts(_text(file), of)
    for what, told in found.lines:
        console.print(f"{what:<18}{told}", markup=False, soft_wrap=True)
    if found.table is not None:
        console.print()
        console.print(found.table)
    console.print(f"\n{file} can be published.", markup=False, soft_wrap=True)


@policy.command()
def backtest(
    file: _File,
    home: Home = HOME,
    *,
    days: _Days = 30,
    fallback: Annotated[Verdict, typer.Option(help="The verdict where there was no score.")] = "approve",
) -> None:
    """Show what a policy for payments would have done with archived ones, beside what was decided then."""
    text = _text(file)
    if not checked(text).is_resolved:
        with contextlib.closing(open_bus(home)) as bus:
            text = with_numbers(text, ModelLog(bus).history(), home, days=days)
    period, outcome = backtested(policy_of(text, version=0), home, days=days, fallback=fallback)
    for table in tables(period, outcome):
        console.print(table)
        console.print()


@policy.command()
def publish(
    file: _File, home: Home = HOME, *, of: _Of = _For.PAYMENTS, reason: _Reason, by: _By = None, days: _Days = 30
) -> None:
    """Put a policy in force; scoring takes it up while it runs. Aims become numbers, found on the past."""
    text, author = _text(file), _author(by, reason)
    _facts(text, of)
    if of is _For.PAYMENTS and checked(text).resolved is not None:
        told = "take out the section `resolved`: publishing finds these numbers anew"
        raise PolicyError([Problem("$.resolved", told)], told)
    with contextlib.closing(open_bus(home)) as bus:
        if of is _For.PAYMENTS:
            text = with_numbers(text, ModelLog(bus).history(), home, days=days)
        _announce(bus, of, lambda history: publication(history, text, author, _KINDS[of]))


@policy.command()
def rollback(
    home: Home = HOME,
    *,
    of: _Of = _For.PAYMENTS,
    version: Annotated[
        int | None, typer.Option("--to", min=1, metavar="VERSION", help="Which one; else the one before.")
    ] = None,
    reason: _Reason = "asked for on the command line",
    by: _By = None,
) -> None:
    """Put an earlier policy in force again, as a new version; scoring takes it up while it runs."""
    author = _author(by, reason)
    with contextlib.closing(open_bus(home)) as bus:
        _announce(bus, of, lambda history: going_back(history, author, _KINDS[of], version=version))


@policy.command()
def show(
    version: Annotated[int | None, typer.Argument(min=1, metavar="VERSION", help="By default the newest.")] = None,
    home: Home = HOME,
    *,
    of: _Of = _For.PAYMENTS,
) -> None:
    """Print a published policy, byte for byte: its SHA-256 is the digest that was announced."""
    typer.echo(version_of(_history(home), version, _KINDS[of]).document, nl=False)


@policy.command()
def history(home: Home = HOME, *, of: _Of = _For.PAYMENTS) -> None:
    """Show every version that was published, newest first; the newest is marked with *."""
    events = announced(_history(home), _KINDS[of])
    table = plain_table("no.", "published", "by", "digest", "reason")
    for event in reversed(events):
        mark = "*" if event is events[-1] else ""
        published_at = f"{event.occurred_at:%Y-%m-%d %H:%M}"
        digest = event.policy_digest[:_DIGEST_DIGITS]
        table.add_row(f"{event.policy_version}{mark}", published_at, event.actor, digest, event.reason)
    console.print(table if events else f"no policy published yet: {_NONE_YET[of]}")


def published(home: Path, version: int) -> Policy:
    """Return a published policy for payments.

    Raises:
        PolicyError: there is no such version, or it cannot be used any more.
        PlatformError: there is no platform whose log could be read.
    """
    return policy_in(version_of(_history(home), version, PAYMENTS), PAYMENTS)


def _log(bus: Bus) -> ChainedLog[PolicyEvent]:
    return ChainedLog(bus, POLICIES, PolicyEvent)


def _history(home: Path) -> History:
    with contextlib.closing(open_bus(home)) as bus:
        return _log(bus).chain()


def _announce(bus: Bus, of: _For, decide: Callable[[History], PolicyEvent]) -> None:
    for event in _log(bus).append(lambda history: [decide(history)]):
        console.print(
            f"{of} policy version {event.policy_version} is in force from now on; digest {event.policy_digest}, "
            f"event {event.event_id} by {event.actor}: {event.reason}",
            markup=False,
            soft_wrap=True,
        )
        if of is _For.PAYMENTS:
            console.print(thresholds_told(policy_in(event, PAYMENTS).document), markup=False, soft_wrap=True)


def _author(by: str | None, reason: str) -> Author:
    return Author(actor=by or getpass.getuser(), reason=reason, at=SystemClock().now())


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except UnicodeDecodeError as error:
        told = f"{file} is not UTF-8: {error}; save it as UTF-8"
        raise PolicyError([Problem("$", told)], told) from error


def _facts(text: str, of: _For) -> Facts:
    """Return what a policy does that could be published; raises PolicyError where it could not."""
    if of is _For.RECOMMENDATION:
        return recommendation_facts(recommendation_policy_of(text, version=0).document)
    return payment_facts(checked(text))
