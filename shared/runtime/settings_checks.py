"""What is wrong with the settings that were given: values that do not hold, and names that nobody reads."""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

_PREFIX = "HEADRACE_"
# Of difflib: with less than this, most of a name is another one.
_LIKENESS_MIN = 0.8
# Other readers of the environment: the other services, the command line, and `headrace up`.
_READ_ELSEWHERE = re.compile(
    r"HEADRACE_(?:(?:INGEST|FEATURES|SCORING|TRAINING|PARITY|DRIFT)_.*|API_KEY|PROMETHEUS_URL|DATA|WARM_UP_DAYS)"
)
# Kubernetes tells each process where every Service of its namespace is; one is called headrace-scoring.
_OF_KUBERNETES = re.compile(r".*_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_\d+_(?:TCP|UDP).*)?)")
_URL = re.compile(r"HEADRACE_[A-Z]+_URL")


class Unread(NamedTuple):
    """A variable that no setting is read from; nearest: what may have been meant, or None."""

    name: str
    nearest: str | None

    def __str__(self) -> str:
        meant = f"; {self.nearest} may be meant" if self.nearest else ""
        return f"nothing reads the variable {self.name}{meant} (see docs/settings.md)"


def problems(error: ValidationError) -> Iterator[str]:
    """Yield in one line each what is wrong with the settings, by the names of their variables."""
    for problem in error.errors(include_url=False):
        told = problem["msg"].removeprefix("Value error, ")
        yield f"{_given(problem)}: {told}" if problem["loc"] else told


def _given(problem: ErrorDetails) -> str:
    name = str(problem["loc"][0]).upper()
    inside = "".join(f"[{part}]" for part in problem["loc"][1:])
    # The others may hold a password.
    shown = f"={problem['input']}" if name.startswith(_PREFIX) else ""
    return f"{name}{inside}{shown}"


def unread(names: Iterable[str], settings: Collection[str], *, service_name: str) -> list[Unread]:
    """Return the HEADRACE_* variables that nothing reads.

    names: of the whole environment. settings: of one service, upper case. service_name: what begins with the name of
    another service is that one's to judge.
    """
    own = f"{_PREFIX}{service_name.upper()}_"
    found = (
        name
        for name in sorted(names)
        if name.startswith(_PREFIX)
        and name not in settings
        and not (_URL.fullmatch(name) or _OF_KUBERNETES.fullmatch(name))
        and (name.startswith(own) or not _READ_ELSEWHERE.fullmatch(name))
    )
    return [
        Unread(name, next(iter(difflib.get_close_matches(name, settings, n=1, cutoff=_LIKENESS_MIN)), None))
        for name in found
    ]
