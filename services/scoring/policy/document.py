"""A policy as a person writes it."""

import hashlib
from collections.abc import Sequence
from datetime import date
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta, Struct

from shared.contracts.events import ListName, Verdict
from shared.models.manifest import Thresholds

POLICY_NAME = "payments"
"""The policy that decides about card payments."""
RULES_MAX = 100
EXPRESSION_CHARACTERS_MAX = 1_000

RuleCode = Annotated[
    str,
    Meta(
        pattern="^[a-z][a-z0-9_]*$",
        max_length=64,
        description="Names the rule in reasons and metrics: made of small letters, digits and _, a letter first.",
    ),
]
Expression = Annotated[
    str, Meta(min_length=1, max_length=EXPRESSION_CHARACTERS_MAX, description="Common Expression Language.")
]
_Score = Annotated[float, Meta(ge=0, le=2, description="Above 1: no score reaches it.")]
_Cost = Annotated[float, Meta(ge=0, le=10**15)]


class Problem(NamedTuple):
    """What is wrong with a document, and where, such as `$.rules[2].when`."""

    path: str
    text: str


class PolicyError(Exception):
    """A policy that cannot be put in force; the message tells every problem, each on a line.

    problems: the same, with their places.
    """

    def __init__(self, problems: Sequence[Problem], told: str | None = None) -> None:
        super().__init__(told or "\n".join(f"{problem.path}: {problem.text}" for problem in problems))
        self.problems = problems


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to do with payments of which an expression is true.

    when: over the names in variables.py. reason: for people; a name in braces is filled in.
    """

    code: RuleCode
    when: Expression
    action: Verdict
    reason: Annotated[str, Meta(min_length=1, max_length=500)]


class CostMatrix(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a decision costs, in minor units of money; a review is taken to tell the truth.

    chargeback_minor_units: fee for a fraud that was approved, beside its amount, which is lost.
    declined_genuine_minor_units, declined_genuine_share: what a declined genuine payment costs in any case, and the
    share of its amount that goes with it.
    """

    review_minor_units: _Cost
    chargeback_minor_units: _Cost
    declined_genuine_minor_units: _Cost
    declined_genuine_share: _Cost


class ThresholdChoice(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Scores from which payments are reviewed and declined: as numbers, or by what they should achieve.

    costs: those with the lowest cost. reviews_a_day: those at which so many payments are reviewed on every day (UTC),
    at the lowest cost. Both become numbers when the policy is published.
    """

    review: _Score | None = None
    decline: _Score | None = None
    costs: CostMatrix | None = None
    reviews_a_day: Annotated[int, Meta(ge=1)] | None = None

    @property
    def is_aim(self) -> bool:
        """Whether the numbers have yet to be found."""
        return self.costs is not None or self.reviews_a_day is not None


class Resolution(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The numbers that an aim became, and how: from the scores of one model on payments whose labels are known.

    since, until: the days (UTC) of these payments.
    """

    review: _Score
    decline: _Score
    costs: CostMatrix
    model_version: int
    since: date
    until: date
    payments: int
    frauds: int


class PolicyDocument(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A policy, with what applies where it says nothing.

    thresholds: null takes those that came with the model that scored. lists: which of them count. explain: which
    decisions get the model's own reasons, at most `reasons_max` of them. resolved: added when it is published.
    """

    thresholds: ThresholdChoice | None = None
    rules: Annotated[list[Rule], Meta(max_length=RULES_MAX)] = []
    lists: tuple[ListName, ...] = ("allow", "block")
    explain: tuple[Verdict, ...] = ("review", "decline")
    reasons_max: Annotated[int, Meta(ge=0, le=64)] = 3
    resolved: Resolution | None = None

    @property
    def is_resolved(self) -> bool:
        """Whether it can decide: an aim has its numbers."""
        return self.resolved is not None or self.thresholds is None or not self.thresholds.is_aim

    @property
    def numbers(self) -> Thresholds | None:
        """The thresholds it decides by; None takes those of the model."""
        found = self.resolved or self.thresholds
        if found is None or found.review is None or found.decline is None:
            return None
        return Thresholds(review=found.review, decline=found.decline)


def contradictions(document: PolicyDocument) -> list[Problem]:
    """Return what is wrong with the document as a whole, beyond the types of its fields."""
    problems = []
    choice = document.thresholds
    if choice is not None:
        given = {name for name in ("review", "decline") if getattr(choice, name) is not None}
        if choice.is_aim == bool(given):
            told = "give either both `review` and `decline`, or `costs` or `reviews_a_day` (or both of these)"
            problems.append(Problem("$.thresholds", told))
        elif len(given) == 1:
            problems.append(Problem("$.thresholds", f"`{given.pop()}` is not enough: give `review` and `decline`"))
    numbers = document.numbers
    if numbers is not None and numbers.review > numbers.decline:
        told = f"`review` {numbers.review:g} is above `decline` {numbers.decline:g}; it must not be"
        problems.append(Problem("$.thresholds", told))
    if document.resolved is not None and not (choice and choice.is_aim):
        problems.append(Problem("$.resolved", "it belongs to `costs` or `reviews_a_day`; take it out"))
    codes = [rule.code for rule in document.rules]
    problems += [
        Problem(f"$.rules[{at}].code", f"{code} is taken by rules[{codes.index(code)}]; name each rule differently")
        for at, code in enumerate(codes)
        if codes.index(code) < at
    ]
    return problems


def digest_of(content: object) -> str:
    """Return the SHA-256 of `content` as JSON."""
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()
