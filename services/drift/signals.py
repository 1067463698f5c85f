"""What the monitor shows of each thing it watches: for `/v1/drift`, the report and the metrics."""

from datetime import datetime
from typing import Literal, Protocol

from msgspec import Struct

from services.drift.finding import Finding
from shared.contracts.events import DriftKind

State = Literal["quiet", "alarmed", "learning", "blind"]
"""learning: what it is held against is still being gathered. blind: it cannot see; `note` says why."""


class Signal(Struct, frozen=True, kw_only=True):
    """One watch.

    value, expected: what is seen now and what it is held against, in the signal's own unit; None where there is none.
    evidence_days, threshold_days: evidence in days (services/drift/evidence.py), and how much raises an alarm.
    samples: payments, labels or lists behind `value`. since: when what is seen began to differ.
    """

    name: str
    kind: DriftKind
    segment: str | None = None
    state: State
    value: float | None = None
    expected: float | None = None
    evidence_days: float = 0.0
    threshold_days: float
    samples: int = 0
    since: datetime | None = None
    note: str = ""


class Distribution(Struct, frozen=True, kw_only=True):
    """A feature, or the score, now beside training.

    bins: what each bin holds, for people. was, now: shares, one for each bin. psi, jensen_shannon (base 2, 0 to 1),
    kolmogorov_smirnov, wasserstein (in the feature's unit; None for categories), chi_squared_p: of the two.
    missing, unseen, outside: shares now of what is no number, of categories that training never met, of values below
    its smallest or above its largest.
    """

    name: str
    bins: list[str]
    was: list[float]
    now: list[float]
    samples: int
    psi: float
    jensen_shannon: float
    kolmogorov_smirnov: float
    wasserstein: float | None
    chi_squared_p: float
    missing: float
    unseen: float
    outside: float


class Detector(Protocol):
    """Something that watches one model version; what it is fed, its own methods tell."""

    name: str

    def findings(self) -> list[Finding]:
        """Return what stands at or above its threshold now; asked after every batch."""
        ...

    def signals(self) -> list[Signal]:
        """Return every watch as it stands."""
        ...
