"""A policy's text (YAML) to a document; whatever is wrong is told by its line."""

import difflib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import msgspec
import yaml

from services.scoring.policy.document import PolicyError, Problem, digest_of
from services.scoring.policy.field_types import description_at, names_at, words_at

D = TypeVar("D", bound=msgspec.Struct)

CHARACTERS_MAX = 200_000
"""Far more than the longest rules need, and less than a record of the log may hold."""

_DEPTH_MAX = 10
_PLACE = re.compile(r"(.*?) - at `(\$[^`]*)`$", re.DOTALL)
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_UNKNOWN_FIELD = re.compile(r"unknown field `([^`]*)`")


def parsed(text: str, document_type: type[D], contradictions: Callable[[D], Sequence[Problem]]) -> D:
    """Return the document in `text`; what its values mean, such as expressions, is not looked at.

    contradictions: returns what is wrong with a document beyond the types of its fields.

    Raises:
        PolicyError: no YAML, a field unknown, missing, double or of the wrong type, or one that contradicts another.
    """
    tree = _tree(text)
    if double := list(_double_keys(tree)):
        raise with_lines(PolicyError(double), text)
    try:
        found = msgspec.convert(yaml.safe_load(text), document_type)
        digest_of(found)  # which an escaped half of a character would not let pass
    except msgspec.ValidationError as error:
        raise with_lines(PolicyError([_problem(str(error), document_type)]), text) from error
    except (yaml.YAMLError, ValueError) as error:
        raise _refused(1, f"a value cannot be read: {error}; put texts in quotes") from error
    if problems := contradictions(found):
        raise with_lines(PolicyError(problems), text)
    return found


def with_lines(error: PolicyError, text: str) -> PolicyError:
    """Return the error with the line of each problem in `text`."""
    tree = _tree(text)
    told = [f"line {_line(tree, path)}, {path.lstrip('$.') or 'policy'}: {text}" for path, text in error.problems]
    return PolicyError(error.problems, "\n".join(told))


def _tree(text: str) -> yaml.Node:
    if len(text) > CHARACTERS_MAX:
        raise _refused(1, f"it has {len(text):,} characters; {CHARACTERS_MAX:,} are the most")
    try:
        _require_plain(text)
        tree = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        told = f"{error.problem}; put a text that holds `: `, ` #` or quotes in quotes"
        raise _refused(mark.line + 1 if mark else 1, told) from error
    except yaml.YAMLError as error:
        raise _refused(1, f"it is no YAML that can be read: {error}") from error
    if not isinstance(tree, yaml.MappingNode):
        told = "a policy is a mapping of fields, each written as `name: value`; `{}` is one that adds nothing"
        raise _refused(1, told)
    return tree


def _require_plain(text: str) -> None:
    """Refuse what takes little to write and much to read: deep nesting, and places that refer to others."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise _refused(line, f"*{event.anchor} refers to another place; write it out, or put a text in quotes")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH_MAX:
            raise _refused(line, "it is nested deeper than any field of a policy")


def _refused(line: int, told: str) -> PolicyError:
    return PolicyError([Problem("$", told)], f"line {line}: {told}")


def _double_keys(node: yaml.Node, path: str = "$") -> Iterator[Problem]:
    if isinstance(node, yaml.MappingNode):
        names = [key.value for key, _ in node.value]
        for at, (name, (_, value)) in enumerate(zip(names, node.value, strict=True)):
            if name in names[:at]:
                yield Problem(f"{path}.{name}", "it stands here twice; take one out")
            yield from _double_keys(value, f"{path}.{name}")
    elif isinstance(node, yaml.SequenceNode):
        for at, value in enumerate(node.value):
            yield from _double_keys(value, f"{path}[{at}]")


def _problem(complaint: str, document_type: type[msgspec.Struct]) -> Problem:
    """Return what msgspec complains of, with what to do."""
    match = _PLACE.fullmatch(complaint)
    told, path = (match[1], match[2]) if match else (complaint, "$")
    unknown = _UNKNOWN_FIELD.search(told)
    if unknown is not None:
        names = names_at(document_type, path)
        close = difflib.get_close_matches(unknown[1], names, n=1)
        told = f"there is no field `{unknown[1]}` here; "
        told += f"did you mean `{close[0]}`?" if close else f"there are {', '.join(names)}"
    elif "Expected `float" in told and "got `str`" in told:
        told += "; write a number as 0.5 or 1.0e-3, without quotes"
    elif "Invalid enum value" in told:
        told += f"; there are {', '.join(words_at(document_type, path))}"
    elif "matching regex" in told:
        told = description_at(document_type, path) or told
    elif "Expected `str`, got" in told:
        told += "; put it in quotes"
    return Problem(path, told)


def _line(tree: yaml.Node, path: str) -> int:
    """Return the line, from 1, of what `path` leads to, or of the last thing on the way that is there."""
    node = tree
    for name, index in _STEP.findall(path):
        if isinstance(node, yaml.MappingNode):
            # The last of two that have the same name, since that is the one complained of.
            found = [(key, value) for key, value in node.value if key.value == name]
            if not found:
                break
            node = found[-1][1]
        elif isinstance(node, yaml.SequenceNode) and index:
            node = node.value[int(index)]
    return int(node.start_mark.line) + 1
