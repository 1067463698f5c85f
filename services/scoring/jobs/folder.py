"""A job on disk: what is to be done, how far it is, what came of it. Every file appears whole."""

import contextlib
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Literal, TypeVar

import msgspec
from msgspec import Struct

from services.scoring.jobs.file_scoring import Progress, aside
from services.scoring.jobs.payments import Refusal
from services.scoring.jobs.results import Format
from services.scoring.policy.document import PolicyDocument
from shared.contracts.events import ListEvent, Verdict
from shared.files.event_file import EventFile

State = Literal["waiting", "running", "done", "failed", "cancelled", "interrupted"]
ACTIVE: frozenset[State] = frozenset({"waiting", "running"})

_ORDER, _STATUS, _PROGRESS, _PROBLEM, _CANCEL = "order.json", "status.json", "progress.json", "problem.txt", "cancel"
S = TypeVar("S", bound=Struct)


class Columns(Struct, frozen=True, kw_only=True):
    """How the columns of a file make payments, as EventFile says."""

    columns: dict[str, str] = {}
    constants: dict[str, str] = {}
    amount_unit: Literal["minor", "major"] = "minor"
    fraud_column: str | None = None
    label_delay: timedelta = timedelta(days=7)
    sort: bool = False

    def of(self, path: Path) -> EventFile:
        """Return the file at `path`, described; raises FileError."""
        return EventFile(path, **msgspec.structs.asdict(self))


class Order(Struct, frozen=True, kw_only=True):
    """What a job is to do, and with which model and policy: those in force when it was asked for.

    format: of the file. result_format: of the decisions. entries: of lists.
    fallback: the decision where a payment gets no score.
    """

    format: Format
    result_format: Format
    columns: Columns
    model_version: int
    model_digest: str
    policy: PolicyDocument
    policy_version: int
    entries: list[ListEvent]
    fallback: Verdict


class Status(Struct, frozen=True, kw_only=True):
    """Where a job is; `problem` says why it failed."""

    state: State
    submitted_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    problem: str | None = None


class JobFolder:
    """One job's files. Its instance writes the status, the job's process its progress and what comes of it.

    What is read raises FileNotFoundError where the job was removed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def job_id(self) -> str:
        return self.path.name

    @property
    def order(self) -> Order:
        return _read(self.path / _ORDER, Order)

    @property
    def status(self) -> Status:
        return _read(self.path / _STATUS, Status)

    @property
    def progress(self) -> Progress:
        path = self.path / _PROGRESS
        return _read(path, Progress) if path.exists() else Progress()

    @property
    def problem(self) -> str | None:
        """What the job's process said when it gave up."""
        path = self.path / _PROBLEM
        return path.read_text() if path.exists() else None

    @property
    def is_cancelled(self) -> bool:
        return (self.path / _CANCEL).exists()

    @property
    def rejected(self) -> Path:
        return self.path / "rejected.jsonl"

    @property
    def log(self) -> Path:
        return self.path / "process.log"

    def payments(self, format_name: Format) -> Path:
        """Return the file of payments."""
        return self.path / f"payments.{format_name}"

    def result(self, order: Order) -> Path:
        """Return the file of decisions, there once the job is done."""
        return self.path / f"decisions.{order.result_format}"

    def write(self, content: Order | Status | Progress) -> None:
        """Keep what is to be done, where the job is, or how far."""
        names: dict[type[Struct], str] = {Order: _ORDER, Status: _STATUS, Progress: _PROGRESS}
        _write(self.path / names[type(content)], msgspec.json.encode(content))

    def write_problem(self, text: str) -> None:
        """Keep why the job's process gave up; the caller is not told where on this machine."""
        _write(self.path / _PROBLEM, text.replace(f"{self.path}/", "").encode())

    def cancel(self) -> None:
        """Ask the instance that runs the job to end it."""
        (self.path / _CANCEL).touch()

    def forget_payments(self) -> None:
        """Remove the file of payments: nothing reads it any more."""
        self.payments(self.order.format).unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove everything, at once for whoever looks; nobody minds when somebody else does too."""
        gone = self.path.with_name(f".removed-{self.job_id}")
        with contextlib.suppress(FileNotFoundError):
            self.path.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)

    def refusals(self, count_max: int) -> list[Refusal]:
        """Return the first refusals, also while more may come."""
        for path in (self.rejected, aside(self.rejected)):
            if path.exists():
                with path.open("rb") as file:
                    whole = (line for line in islice(file, count_max) if line.endswith(b"\n"))
                    return [msgspec.json.decode(line, type=Refusal) for line in whole]
        return []


def jobs_in(root: Path) -> Iterator[JobFolder]:
    """Yield the jobs of an instance, the oldest first; those whose names begin with a dot come or go."""
    for path in sorted(root.iterdir() if root.is_dir() else ()):
        job = JobFolder(path)
        with contextlib.suppress(FileNotFoundError):
            if not path.name.startswith(".") and job.status:
                yield job


def _read(path: Path, kind: type[S]) -> S:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except msgspec.DecodeError as error:  # after a power cut
        raise FileNotFoundError(f"{path} is damaged: {error}") from error


def _write(path: Path, content: bytes) -> None:
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(content)
    fresh.replace(path)
