"""What a policy does, in lines for people."""

import typing
from collections.abc import Sequence
from typing import NamedTuple

from msgspec import UNSET
from msgspec.structs import asdict
from rich.table import Table

from services.cli.terminal import plain_table
from services.scoring.policy.document import PolicyDocument
from services.scoring.recommendations.asked import Changes, Condition, Merchandising
from services.scoring.recommendations.experiments import CONTROL
from services.scoring.recommendations.policy.document import RecommendationDocument
from shared.contracts.events import Verdict


class Facts(NamedTuple):
    """What a policy does: lines of a name and a text, and a table where there is one."""

    lines: Sequence[tuple[str, str]]
    table: Table | None = None


def payment_facts(document: PolicyDocument) -> Facts:
    """Return what a policy for payments does."""
    lists = " and ".join(document.lists) or "none"
    explained = ", ".join(verdict for verdict in typing.get_args(Verdict) if verdict in document.explain) or "nothing"
    lines = [
        ("thresholds", thresholds_told(document)),
        ("lists", lists),
        ("explained", f"{explained}; at most {document.reasons_max} reasons of the model"),
        ("rules", str(len(document.rules))),
    ]
    if not document.rules:
        return Facts(lines)
    table = plain_table("rule", "action", "when")
    for rule in document.rules:
        table.add_row(rule.code, rule.action, rule.when.strip())
    return Facts(lines, table)


def thresholds_told(document: PolicyDocument) -> str:
    """Return by which scores a policy decides, and how they were found."""
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


def recommendation_facts(document: RecommendationDocument) -> Facts:
    """Return what a policy for recommendations does; the table holds the arms of its experiment."""
    lines = _merchandising_told(document.merchandising)
    experiment = document.experiment
    if experiment is None:
        return Facts([*lines, ("experiment", "none")])
    table = plain_table("arm", "share", "changes")
    table.add_row(CONTROL, f"{1 - sum(arm.share for arm in experiment.arms):.1%}", "nothing")
    for arm in experiment.arms:
        changes = "; ".join(f"{name} {told}" for name, told in _merchandising_told(arm.changes))
        table.add_row(arm.name, f"{arm.share:.1%}", changes or "nothing")
    return Facts([*lines, ("experiment", experiment.name)], table)


def _merchandising_told(given: Merchandising | Changes) -> list[tuple[str, str]]:
    """Return each rule that says something, by its field's name."""
    told = {name: value for name in type(given).__struct_fields__ if (value := getattr(given, name)) is not UNSET}
    filters, boosts = given.filters, given.boosts
    told |= {"filters": " and ".join(map(_condition_told, filters))} if filters else {}
    told |= (
        {"boosts": " and ".join(f"{b.factor:g} times for {_condition_told(b.when)}" for b in boosts)} if boosts else {}
    )
    return [(name, _plain(value)) for name, value in told.items() if value != []]


def _plain(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _condition_told(condition: Condition) -> str:
    parts = []
    if condition.any_of:
        parts.append(" or ".join(map(_plain, condition.any_of)))
    if condition.at_least is not None:
        parts.append(f"from {condition.at_least:g}")
    if condition.at_most is not None:
        parts.append(f"up to {condition.at_most:g}")
    told = f"{condition.attribute} {' '.join(parts) or 'known'}"
    return f"not ({told})" if condition.is_not else told
