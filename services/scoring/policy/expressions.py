"""Expressions of rules, in the Common Expression Language (https://cel.dev), compiled and checked.

The language has no loops. Its macros over lists and maps stop after 10,000 steps an evaluation (the library's limit),
and its regular expressions take linear time (RE2), so that an expression of bounded length costs bounded time.

Comparisons between doubles and integers, as the language defines them, are left out of the library's declarations; they
are added here, so that `card_count_10m > 5` needs no point. Arithmetic does not mix the two, in any CEL.
"""

import difflib
import functools
import itertools
import re
from typing import Any

from cel_expr_python import cel

from services.scoring.policy import variables
from shared.contracts.codec import shortened
from shared.features.definitions import FeatureSet

_TYPES = {
    variables.NUMBER: cel.Type.DOUBLE,
    variables.INTEGER: cel.Type.INT,
    variables.TEXT: cel.Type.STRING,
    variables.TRUTH: cel.Type.BOOL,
    variables.MAP: cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
}
_ORDERED = {
    "bool": cel.Type.BOOL,
    "int": cel.Type.INT,
    "double": cel.Type.DOUBLE,
    "string": cel.Type.STRING,
    "timestamp": cel.Type.TIMESTAMP,
    "duration": cel.Type.DURATION,
}
_COMPARISONS = {
    "_<_": "less",
    "_<=_": "less_equals",
    "_>_": "greater",
    "_>=_": "greater_equals",
    "_==_": "equals",
    "_!=_": "not_equals",
}
_IN = "@in"
_COMPLAINT = re.compile(r"ERROR: <input>:(\d+):(\d+): (.+?)(?= \[[A-Z_]+\]$|$)", re.MULTILINE)
_UNKNOWN = re.compile(r"undeclared reference to '([^']*)'")
_MISMATCH = re.compile(r"found no matching overload for '([^']*)' applied to '\((.*)\)'")
_WORD = re.compile(r"[A-Za-z_]\w*")


class ExpressionError(Exception):
    """An expression that cannot be used; the message says why, and what to do."""


def compiled(expression: str, feature_set: FeatureSet) -> Any:
    """Return the expression ready to be evaluated; `eval(data=...)` gives a value, which may be an error.

    Raises:
        ExpressionError: its syntax, a name, a type, its depth, or that it is not true or false.
    """
    try:
        found = _environment(feature_set).compile(expression)
    except RuntimeError as error:
        raise ExpressionError(_explained(str(error), expression, feature_set)) from error
    if found.return_type() != cel.Type.BOOL:
        raise ExpressionError(
            f"it is {found.return_type().name().lower()}, not true or false; compare it with something"
        )
    return found


def names_in(expression: str, feature_set: FeatureSet) -> set[str]:
    """Return the names that an expression may use; one that only stands inside of a text is among them."""
    return set(_WORD.findall(expression)) & variables.kinds(feature_set).keys()


def nearest(name: str, feature_set: FeatureSet) -> str:
    """Return what a wrong name was meant to be, as an ending to a message."""
    close = difflib.get_close_matches(name, variables.kinds(feature_set), n=1)
    return f"; did you mean {close[0]}?" if close else "; docs/policy.md tells which there are"


@functools.cache
def _environment(feature_set: FeatureSet) -> Any:
    names = {name: _TYPES[kind] for name, kind in variables.kinds(feature_set).items()}
    excluded = "".join(f"    - name: '{name}'\n" for name in (*_COMPARISONS, _IN))
    config = cel.NewEnvConfigFromYaml(f"stdlib:\n  exclude_functions:\n{excluded}")
    return cel.NewEnv(config=config, variables=names, functions=_comparisons())


def _comparisons() -> list[Any]:
    """Return the declarations of what compares; the library holds their implementations."""
    alike = [(kind, kind) for kind in _ORDERED]
    pairs = [*alike, *itertools.permutations(("int", "double"), 2)]
    declared = [
        cel.FunctionDecl(
            name,
            [cel.Overload(f"{stem}_{a}_{b}", cel.Type.BOOL, [_ORDERED[a], _ORDERED[b]]) for a, b in pairs],
        )
        for name, stem in _COMPARISONS.items()
    ]
    inside = [
        cel.Overload(f"in_list_{a}_{b}", cel.Type.BOOL, [_ORDERED[a], cel.Type.List(_ORDERED[b])]) for a, b in pairs
    ]
    inside.append(cel.Overload("in_map", cel.Type.BOOL, [cel.Type.STRING, _TYPES[variables.MAP]]))
    return [*declared, cel.FunctionDecl(_IN, inside)]


def _explained(raw: str, expression: str, feature_set: FeatureSet) -> str:
    if "recursion" in raw:
        return "it is nested more than 32 levels deep; split it into several rules"
    many_lines = "\n" in expression.strip()
    found = [
        f"{f'line {line} of it, ' if many_lines else ''}column {column}: {_plain(text, expression, feature_set)}"
        for line, column, text in _COMPLAINT.findall(raw)
    ]
    return "; ".join(found) or shortened(raw)


def _plain(text: str, expression: str, feature_set: FeatureSet) -> str:
    """Return a complaint of the compiler in the words of who writes rules."""
    unknown, mismatch = _UNKNOWN.search(text), _MISMATCH.search(text)
    if unknown is not None:
        if re.search(rf"\b{re.escape(unknown[1])}\s*\(", expression):
            return f"there is no function {unknown[1]}"
        return f"there is no {unknown[1]}{nearest(unknown[1], feature_set)}"
    if mismatch is not None:
        operator, kinds = mismatch[1].strip("_@"), mismatch[2]
        told = f"`{operator}` does not go with ({kinds})"
        if {"int", "double"} <= set(kinds.split(", ")):
            told += ": write a number beside a feature with a point, 2.0 instead of 2"
        return told
    return shortened(f"{text}; write && for and, || for or, ! for not, and texts in quotes", 300)
