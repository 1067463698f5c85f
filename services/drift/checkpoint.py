"""What a loop remembers, on disk: a monitor that is started again goes on where the one before was."""

import hashlib
import importlib.metadata
import logging
import os
import pickle
import platform
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from services.drift.settings import DriftSettings
from services.drift.shown.status import ModelStatus
from shared.bus.base import Outgoing
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.loop import Delivery

log = logging.getLogger(__name__)

FOLDER_NAME = "drift"
_HEADER = b"headrace drift checkpoint\n"
_DIGEST_BYTES = 32
_LIBRARIES = ("numpy", "scipy", "river", "scikit-learn", "msgspec")
_HOW_IT_IS_KEPT = {"headrace_drift_checkpoint_seconds"}
_SOURCES = ("services/drift", "shared/models", "shared/contracts", "shared/bus", "shared/features")


class Remembering(Protocol):
    """A monitor; called from one thread at a time."""

    memory: Any
    """All that it has learnt, so that it can be pickled; another one's may take its place before the first call."""

    def __call__(self, deliveries: Sequence[Delivery]) -> Sequence[Outgoing]:
        """Take in a batch, and return what is to be told."""
        ...

    def status(self) -> ModelStatus | None:
        """Return how the model in force fares; None while there is none."""
        ...


class Checkpoint:
    """A file that holds a loop's memory.

    It is written aside and then moved into its place, so there is always a whole one. One that is damaged, or was
    written by another version of the code or under other settings of drift, is set aside.
    """

    def __init__(self, path: Path, settings: DriftSettings) -> None:
        """Name the file; nothing is read yet."""
        self._path = path
        self._origin = _origin(settings)

    def read(self) -> Any | None:
        """Return the memory; None where there is none, or none that can be used: the log says why."""
        try:
            content = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            log.error("%s cannot be read, drift starts anew: %s", self._path, error)  # noqa: TRY400 - it says all
            return None
        problem = self._problem(content)
        if problem is None:
            try:
                # Written by this very code below HEADRACE_HOME, whose writers can replace the models as well.
                return pickle.loads(content[len(_HEADER) + 2 * _DIGEST_BYTES :])  # noqa: S301
            except Exception as error:  # noqa: BLE001 - unpickling raises whatever the content leads it to
                problem = f"it cannot be unpacked ({error})"
        self._set_aside(problem)
        return None

    def write(self, memory: bytes) -> None:
        """Replace the file; memory: as pickled.

        Raises:
            OSError: it cannot be written; the one before is still there.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        aside = self._path.with_suffix(".part")
        with aside.open("wb") as file:
            file.write(_HEADER + self._origin + hashlib.sha256(memory).digest() + memory)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _problem(self, content: bytes) -> str | None:
        header, rest = content[: len(_HEADER)], content[len(_HEADER) :]
        origin, digest = rest[:_DIGEST_BYTES], rest[_DIGEST_BYTES : 2 * _DIGEST_BYTES]
        if header != _HEADER or hashlib.sha256(rest[2 * _DIGEST_BYTES :]).digest() != digest:
            return "it is damaged"
        if origin != self._origin:
            return "it was written by another version, or under other settings of drift"
        return None

    def _set_aside(self, problem: str) -> None:
        aside = self._path.with_suffix(".unusable")
        log.warning("drift starts anew, without what %s holds: %s; it is kept as %s", self._path, problem, aside.name)
        try:
            self._path.replace(aside)
        except OSError as error:
            log.warning("%s cannot be set aside, and will be replaced: %s", self._path, error)


class Checkpointed:
    """A monitor whose memory outlives its process; it may be asked from any thread.

    The memory is written every so often, and always before an answer leaves, so a request for a new model is never
    made twice: after a crash the answer is either not committed, and given again, or remembered. What else was read
    since the last writing is lost with the process.
    """

    def __init__(
        self, name: str, monitor: Remembering, checkpoint: Checkpoint, clock: Clock, *, interval_seconds: float
    ) -> None:
        """Take up what is on disk; name: of the loop."""
        self._name = name
        self._monitor = monitor
        self._checkpoint = checkpoint
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._lock = threading.Lock()
        self._is_whole = True
        self._written_seconds = clock.monotonic_seconds()
        memory = checkpoint.read()
        if memory is not None:
            monitor.memory = memory
            log.info("%s goes on with what it had learnt", name)

    def __call__(self, deliveries: Sequence[Delivery]) -> Sequence[Outgoing]:
        """Take in a batch, and return what is to be told."""
        with self._lock:
            self._is_whole = False
            answers = self._monitor(deliveries)
            self._is_whole = True
            if answers or self._clock.monotonic_seconds() - self._written_seconds >= self._interval_seconds:
                self._write()
        return answers

    def status(self) -> ModelStatus | None:
        """Return how the model in force fares; None while there is none."""
        with self._lock:
            return self._monitor.status()

    def close(self) -> None:
        """Write what is remembered, for whoever is started next; not when a bug ended the monitor within a batch."""
        with self._lock:
            if self._is_whole:
                self._write()

    def _write(self) -> None:
        started = self._clock.monotonic_seconds()
        try:
            self._checkpoint.write(pickle.dumps(self._monitor.memory, protocol=pickle.HIGHEST_PROTOCOL))
        except OSError as error:
            metrics.DRIFT_CHECKPOINT_FAILURES.labels(self._name).inc()
            log.error("what %s has learnt cannot be written to disk: %s", self._name, error)  # noqa: TRY400
        self._written_seconds = self._clock.monotonic_seconds()
        metrics.DRIFT_CHECKPOINT_SECONDS.labels(self._name).observe(self._written_seconds - started)


def _origin(settings: DriftSettings) -> bytes:
    """Return a digest of everything that gives a memory its meaning: code, libraries, settings."""
    watching = {name for name in DriftSettings.model_fields if name.startswith("headrace_drift_")} - _HOW_IT_IS_KEPT
    told = repr(sorted(settings.model_dump(include=watching).items()))
    return hashlib.sha256(_code() + told.encode()).digest()


@cache
def _code() -> bytes:
    root = Path(__file__).parents[2]
    digest = hashlib.sha256(platform.python_version().encode())
    for library in _LIBRARIES:
        digest.update(f"{library} {importlib.metadata.version(library)}\n".encode())
    for folder in _SOURCES:
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\n" + path.read_bytes())
    return digest.digest()
