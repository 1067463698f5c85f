"""A policy ready to judge."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.scoring.policy.document import PolicyDocument, PolicyError, Problem, contradictions, digest_of
from services.scoring.policy.parsing import parsed, with_lines
from services.scoring.policy.rules import Match, Rules
from shared.contracts.events import FeatureVector, Reason, Verdict
from shared.features.catalog.fraud import FRAUD
from shared.models.manifest import Thresholds
from shared.runtime import metrics

SEMANTICS = 1
"""Raised when the same document comes to mean something else, so that no digest stands for both."""

_SEVERITY: dict[Verdict, int] = {"approve": 0, "review": 1, "decline": 2}


class Judgement(NamedTuple):
    """What a policy says of one payment, and why."""

    verdict: Verdict
    reasons: list[Reason]


class Policy:
    """One version of a policy.

    What it says depends on its arguments alone. In this order:

    1. an entry of an allow list, or a rule that approves: approve;
    2. an entry of a block list: decline;
    3. else the most severe of what the matching rules and the score say (approve, review, decline). Where there is no
       score, the fallback stands in its place.

    The reasons name every entry and every rule that matched and what the score says, whichever of them decided.
    """

    def __init__(self, document: PolicyDocument, *, version: int) -> None:
        """Compile the document's rules; they may use the features of the fraud catalog.

        Raises:
            PolicyError: a rule cannot be used, or thresholds have no numbers yet.
        """
        if not document.is_resolved:
            told = "these thresholds have no numbers yet; `headrace policy publish` finds them"
            raise PolicyError([Problem("$.thresholds", told)])
        self.document = document
        self.version = version
        self._thresholds = document.numbers
        self._lists = frozenset(document.lists)
        self._rules = Rules(document.rules, FRAUD)
        self._digests: dict[tuple[Thresholds | None, Verdict], str] = {}

    @property
    def rule_failures(self) -> Mapping[str, int]:
        """How often each rule could not be evaluated, by its code; those that always could are not in it."""
        return self._rules.failures

    def let_go(self) -> None:
        """Show no more of its rules on /metrics: another policy decides."""
        for code in self.rule_failures:
            metrics.RULE_ERRORS.remove(code)

    def digest(self, thresholds: Thresholds | None, fallback: Verdict) -> str:
        """Return the SHA-256 that names this policy together with what else decides beside it."""
        found = self._digests.get((thresholds, fallback))
        if found is None:
            found = digest_of([SEMANTICS, self.document, thresholds, fallback])
            self._digests[thresholds, fallback] = found
        return found

    def judge(
        self,
        vector: FeatureVector,
        score: float | None,
        thresholds: Thresholds | None,
        listed: Sequence[str],
        *,
        fallback: Verdict,
    ) -> Judgement:
        """Return the verdict on a payment.

        score: None when there is none, which `fallback` decides. thresholds: the model's own; those of the document go
        before. listed: the entries of lists that matched (see lists.py).
        """
        entries = [entry.split(":") for entry in listed if entry.partition(":")[0] in self._lists] if listed else []
        matches = self._rules.matched(vector, score)
        by_score, reasons = _judged(score, self._thresholds or thresholds, fallback)
        if not entries and not matches:
            return Judgement(by_score, reasons)
        said: list[Reason] = [_listed_reason(vector, *entry) for entry in entries]
        said += [Reason(code=f"rule:{match.rule.code}", text=match.text) for match in matches]
        return Judgement(_settled({name for name, _ in entries}, matches, by_score), [*said, *reasons])


def document_of(text: str) -> PolicyDocument:
    """Return the document in `text` (YAML); its expressions are not compiled yet.

    Raises:
        PolicyError: it is none; the message names the lines.
    """
    return parsed(text, PolicyDocument, contradictions)


def policy_of(text: str, *, version: int) -> Policy:
    """Return the policy that `text` describes (YAML).

    Raises:
        PolicyError: it cannot be put in force; the message names the lines.
    """
    document = document_of(text)
    try:
        return Policy(document, version=version)
    except PolicyError as error:
        raise with_lines(error, text) from error


def checked(text: str) -> PolicyDocument:
    """Return the document in `text`, which could be published: its thresholds need no numbers yet.

    Raises:
        PolicyError: it could not; the message names the lines.
    """
    document = document_of(text)
    try:
        Rules(document.rules, FRAUD)
    except PolicyError as error:
        raise with_lines(error, text) from error
    return document


def _judged(score: float | None, thresholds: Thresholds | None, fallback: Verdict) -> tuple[Verdict, list[Reason]]:
    if score is None or thresholds is None:
        return fallback, []
    if score >= thresholds.decline:
        text = f"score {score:.4f} is at or above the decline threshold {thresholds.decline:.4f}"
        return "decline", [Reason(code="score_decline", text=text)]
    if score >= thresholds.review:
        text = f"score {score:.4f} is at or above the review threshold {thresholds.review:.4f}"
        return "review", [Reason(code="score_review", text=text)]
    return "approve", []


def _settled(lists: set[str], matches: Sequence[Match], by_score: Verdict) -> Verdict:
    actions = {match.rule.action for match in matches}
    if "allow" in lists or "approve" in actions:
        return "approve"
    if "block" in lists:
        return "decline"
    return max(actions | {by_score}, key=_SEVERITY.__getitem__)


def _listed_reason(vector: FeatureVector, name: str, entity: str) -> Reason:
    value = getattr(vector.transaction, f"{entity}_id")
    return Reason(code=f"list:{name}:{entity}", text=f"{entity} {value} is on the {name} list")


BEFORE_THE_FIRST = Policy(PolicyDocument(), version=0)
"""In force until a policy is published: the thresholds that come with each model."""
