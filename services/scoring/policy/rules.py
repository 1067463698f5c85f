"""The rules of a policy, ready to be held against payments."""

import logging
import string
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from cel_expr_python import cel

from services.scoring.policy import variables
from services.scoring.policy.document import PolicyError, Problem, Rule
from services.scoring.policy.expressions import ExpressionError, compiled, names_in, nearest
from services.scoring.policy.variables import Values
from shared.contracts.codec import shortened
from shared.contracts.events import FeatureVector
from shared.features.definitions import FeatureSet
from shared.runtime import metrics
from shared.runtime.logs import fields

log = logging.getLogger(__name__)

_AT_ONCE = 25
"""Rules that are first asked together: most payments match none, and one question costs less than many."""
_REASON_CHARACTERS_MAX = 4_000


class Match(NamedTuple):
    """A rule that is true of a payment, and its reason, filled in."""

    rule: Rule
    text: str


class _Compiled(NamedTuple):
    rule: Rule
    expression: Any


class _Group(NamedTuple):
    """Some rules, and one expression that is false when none of them matches and none fails."""

    any_of: Any
    rules: tuple[_Compiled, ...]


class Rules:
    """Compiled rules; safe to use from several threads.

    failures: how often each rule, by its code, could not be evaluated.
    """

    def __init__(self, rules: Sequence[Rule], feature_set: FeatureSet) -> None:
        """Compile them.

        Raises:
            PolicyError: an expression or a reason cannot be used; tells all of them.
        """
        every = _all_compiled(rules, feature_set)
        self._groups = tuple(
            group
            for begin in range(0, len(every), _AT_ONCE)
            for group in _groups(every[begin : begin + _AT_ONCE], feature_set)
        )
        named = set[str]().union(*(names_in(rule.when, feature_set) for rule in rules))
        told = set[str]().union(*(_names_told(rule.reason) for rule in rules))
        self._asked = Values(named, feature_set)
        self._told = Values(told, feature_set)
        self.failures: Counter[str] = Counter()

    def matched(self, vector: FeatureVector, score: float | None) -> list[Match]:
        """Return the rules that are true of a payment, in their order.

        score: None when there is none. A rule that cannot be evaluated (a division by zero, an attribute that the
        payment lacks, features that are missing) does not match; it is counted, and logged once.
        """
        if not self._groups:
            return []
        data = self._asked.of(vector, score)
        matches = []
        for group in self._groups:
            if _evaluated(group.any_of, data) is False:
                continue
            for rule, expression in group.rules:
                found = _evaluated(expression, data)
                if found is True:
                    matches.append(Match(rule, _filled(rule.reason, self._told.of(vector, score))))
                elif found is not False:
                    self._tell(rule, str(found), vector)
        return matches

    def _tell(self, rule: Rule, failure: str, vector: FeatureVector) -> None:
        metrics.RULE_ERRORS.labels(rule.code).inc()
        self.failures[rule.code] += 1
        if self.failures[rule.code] == 1:
            log.warning(
                "rule %s could not be evaluated, so it did not match; told once: %s",
                rule.code,
                shortened(failure),
                **fields(trace_id=vector.trace_id, transaction_id=vector.transaction.transaction_id),
            )


def _evaluated(expression: Any, data: dict[str, object]) -> object:
    """Return True, False, or what went wrong."""
    try:
        value = expression.eval(data=data)
    except RuntimeError as error:
        return str(error)
    return value.value() if value.type() == cel.Type.BOOL else str(value.value())


def _all_compiled(rules: Sequence[Rule], feature_set: FeatureSet) -> list[_Compiled]:
    found, problems = [], []
    for at, rule in enumerate(rules):
        try:
            found.append(_Compiled(rule, compiled(rule.when, feature_set)))
        except ExpressionError as error:
            problems.append(Problem(f"$.rules[{at}].when", str(error)))
        problems += [Problem(f"$.rules[{at}].reason", told) for told in _faults(rule.reason, feature_set)]
    if problems:
        raise PolicyError(problems)
    return found


def _groups(rules: Sequence[_Compiled], feature_set: FeatureSet) -> Iterator[_Group]:
    """Yield the rules as one group, or as several where they are nested too deep to be joined."""
    if len(rules) == 1:
        yield _Group(rules[0].expression, tuple(rules))
        return
    try:
        # A line feed ends a comment at the end of an expression.
        any_of = compiled(" || ".join(f"({rule.when}\n)" for rule, _ in rules), feature_set)
    except ExpressionError:
        half = len(rules) // 2
        yield from _groups(rules[:half], feature_set)
        yield from _groups(rules[half:], feature_set)
    else:
        yield _Group(any_of, tuple(rules))


def _faults(reason: str, feature_set: FeatureSet) -> Iterator[str]:
    """Yield what is wrong with a reason's text."""
    known = variables.kinds(feature_set)
    try:
        pieces = list(string.Formatter().parse(reason))
    except ValueError as error:
        yield f"{error}; write {{{{ for a brace that is meant"
        return
    for _, name, form, conversion in pieces:
        if name is None:
            continue
        if form or conversion:
            yield f"{{{name}}} takes no format; write the name alone"
        elif name not in known:
            yield f"there is no {name or 'name in {}'}{nearest(name, feature_set)}"
        elif known[name] == variables.MAP:
            yield f"{name} is a map, which has no place in a sentence; take it out"


def _names_told(reason: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(reason) if name}


def _filled(reason: str, values: dict[str, object]) -> str:
    pieces = []
    for literal, name, _, _ in string.Formatter().parse(reason):
        pieces.append(literal)
        if name is not None:
            pieces.append(_shown(values.get(name)))
    return shortened("".join(pieces), _REASON_CHARACTERS_MAX)


def _shown(value: object) -> str:
    if value is None:
        return "unknown"
    return f"{value:.15g}" if isinstance(value, float) else str(value)
