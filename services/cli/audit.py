"""`headrace audit`: whether what was announced about models and policies is whole, and the files are as announced."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from services.cli.terminal import HOME, Home, console, errors, open_bus
from services.scoring.policy.publishing import audited
from services.training.model_log import ModelLog
from shared.bus.chained_log import ChainedLog
from shared.contracts.chain import ChainAudit, readable
from shared.contracts.events import ModelEvent, PolicyEvent
from shared.contracts.topics import MODELS, POLICIES
from shared.models.audit import Audit, examine
from shared.models.packages import Packages

audit = typer.Typer(name="audit", help="Whether the record of models and policies is whole.", no_args_is_help=True)

_Values = Sequence[bytes | None]


@audit.callback()
def _group() -> None:
    """Keep `audit` a group, however few commands it has."""


@audit.command()
def verify(
    home: Home = HOME,
    *,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="DIGEST", help="The head that an earlier run printed: proves that all up to it is still there."
        ),
    ] = None,
    policies_head: Annotated[str | None, typer.Option(metavar="DIGEST", help="The same for policies.")] = None,
) -> None:
    """Check every record on `models` and `policies`, and the files of the registered versions on this machine.

    Each record names the SHA-256 of the one before it, so nothing can be changed, removed or slipped in without a
    trace. What was cut off at the end shows only against a head noted earlier, so keep the ones that are printed
    somewhere else. Exits with status 1 when something does not hold.
    """
    with contextlib.closing(open_bus(home)) as bus:
        models = [record.value for record in ModelLog(bus).records()]
        policies = [record.value for record in ChainedLog(bus, POLICIES, PolicyEvent).records()]
    of_models = examine(models, Packages(home / "models"), earlier_head=_lower(head))
    _report(MODELS.name, models, _model_rows(of_models), of_models.problems)
    of_policies = audited(policies, earlier_head=_lower(policies_head))
    _report(POLICIES.name, policies, _policy_rows(policies, of_policies), of_policies.problems)
    if of_models.problems or of_policies.problems:
        raise typer.Exit(1)


def _report(topic: str, values: _Values, rows: Iterator[tuple[str, str]], problems: Sequence[str]) -> None:
    for what, told in [("records", f"{len(values)} on {topic}"), *rows]:
        # Not a table: a digest that was wrapped could not be copied.
        console.print(f"{what:<22}{told}", markup=False, soft_wrap=True)
    for problem in problems:
        errors.print(f"{topic}: {problem}", style="red", markup=False, soft_wrap=True)
    if not problems:
        console.print(f"{topic} is whole.")


def _model_rows(found: Audit) -> Iterator[tuple[str, str]]:
    if found.events:
        yield "first", _model_told(found.events[0])
        yield "last", _model_told(found.events[-1])
    yield from _chain_rows(found.chain)
    yield "versions whole", f"{found.whole} on this machine, {found.absent} not here"


def _policy_rows(values: _Values, found: ChainAudit) -> Iterator[tuple[str, str]]:
    events = list(readable(values, PolicyEvent))
    if events:
        yield "first", _policy_told(events[0])
        yield "last", _policy_told(events[-1])
    yield from _chain_rows(found)


def _chain_rows(found: ChainAudit) -> Iterator[tuple[str, str]]:
    yield "head", found.head or "none"
    if found.behind_head is not None:
        yield "after the head given", str(found.behind_head)


def _model_told(event: ModelEvent) -> str:
    what = f"{event.action} {event.model_name} {event.model_version} by {event.actor}"
    return f"{event.occurred_at:%Y-%m-%d %H:%M:%S}Z, {what}"


def _policy_told(event: PolicyEvent) -> str:
    what = f"{event.policy_name} {event.policy_version} by {event.actor}"
    return f"{event.occurred_at:%Y-%m-%d %H:%M:%S}Z, {what}"


def _lower(digest: str | None) -> str | None:
    return None if digest is None else digest.lower()
