"""What was worked out before is not worked out again: results on disk, by what they were made from.

A result is found again when the step has the same name, the same inputs (the caller's digest of them), the same source
of the packages it depends on, and the same versions of the libraries that do the arithmetic. So an edit to a report
trains nothing again, and an edit to an estimator trains everything that it could have changed.

joblib.Memory keeps the files: written whole or not at all, safe for several processes, bounded in size and age. Three
of its habits would do harm, and are avoided here:

- It looks at the source of the one function it wraps, not of what that calls, and wipes the function's whole cache
  when it differs. Here it wraps one function that never changes, and the code stands in the key.
- It hashes every argument: seconds for a large training set. Here arguments are digests that their owners have.
- It believes whatever it can unpickle, so a damaged byte in a number is another number. Here a result is sealed with
  its SHA-256, and one that does not fit is made again.

Only the process that runs the search reads and writes the folder: workers need no disk in common.
"""

import hashlib
import io
from collections.abc import Callable
from datetime import timedelta
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import joblib

from services.training.refusal import RefusedError

T = TypeVar("T")

_LIBRARIES = ("joblib", "numpy", "onnx", "polars", "scikit-learn", "scipy", "skl2onnx")


class Step(NamedTuple):
    """One kind of work. packages: dotted names of the packages or modules whose source decides what comes out."""

    name: str
    packages: tuple[str, ...]


class Made(NamedTuple, Generic[T]):
    """A step's result, and whether it was there already."""

    value: T
    reused: bool


class _Sealed(NamedTuple):
    digest: str
    content: bytes


class _AbsentError(Exception):
    """Nothing is kept under this key."""


class Steps:
    """The results of earlier runs in `folder`."""

    def __init__(self, folder: Path, *, bytes_max: int = 2 * 1024**3, age_max: timedelta = timedelta(days=30)) -> None:
        """Open the folder, and drop what has not been used for `age_max`, then the least used beyond `bytes_max`.

        Raises:
            RefusedError: steps, the folder cannot be written.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            memory = joblib.Memory(folder, verbose=0)
            memory.reduce_size(bytes_limit=bytes_max, age_limit=age_max)
            self._sealed = memory.cache(_sealed, ignore=["make"])
        except OSError as error:
            raise RefusedError("steps", f"the results of earlier runs cannot be kept: {error}; mend it") from error
        self._code: dict[Step, str] = {}

    def run(self, step: Step, inputs: str, make: Callable[[], T]) -> Made[T]:
        """Return what `make` returns, which must be picklable and not None, or what it returned before.

        inputs: a digest of everything that `make` works on.
        """
        kept = self.find(step, inputs)
        if kept is not None:
            return Made(kept, reused=True)
        value = make()
        self.keep(step, inputs, value)
        return Made(value, reused=False)

    def find(self, step: Step, inputs: str) -> Any:
        """Return what is kept, or None: nothing, or something damaged."""
        try:
            digest, content = self._sealed(step.name, self._code_digest(step), inputs, _absent)
        except _AbsentError:
            return None
        return joblib.load(io.BytesIO(content)) if hashlib.sha256(content).hexdigest() == digest else None

    def keep(self, step: Step, inputs: str, value: object) -> None:
        """Keep `value` in the place of what was there."""
        self._sealed.call(step.name, self._code_digest(step), inputs, lambda: value)

    def _code_digest(self, step: Step) -> str:
        if step not in self._code:
            self._code[step] = code_digest(step.packages)
        return self._code[step]


def code_digest(packages: tuple[str, ...]) -> str:
    """Return a SHA-256 over the source of the packages or modules, and over the versions of the libraries used."""
    sha = hashlib.sha256()
    for package in packages:
        for file in _sources(package):
            sha.update(f"{package} {file.name} {file.stat().st_size}\n".encode())
            sha.update(file.read_bytes())
    for library in _LIBRARIES:
        sha.update(f"{library} {version(library)}\n".encode())
    return sha.hexdigest()


def _sources(package: str) -> list[Path]:
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(package)
    file = Path(spec.origin)
    return [file] if spec.submodule_search_locations is None else sorted(file.parent.rglob("*.py"))


def _sealed(step: str, code: str, inputs: str, make: Callable[[], object]) -> _Sealed:  # noqa: ARG001 - the key
    """Make a result; joblib keeps what this returns under the arguments before `make`."""
    value = make()
    content = io.BytesIO()
    joblib.dump(value, content)
    return _Sealed(hashlib.sha256(content.getvalue()).hexdigest(), content.getvalue())


def _absent() -> object:
    raise _AbsentError
