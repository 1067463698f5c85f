"""What a detector has found."""

from dataclasses import dataclass
from datetime import datetime

from shared.contracts.events import DriftKind


@dataclass(frozen=True)
class Finding:
    """Evidence that has reached its threshold.

    signal: what was looked at, as `recall`, or a feature that has moved. segment: as `country=DE`, None for everything.
    statistic, threshold: evidence in days (services/drift/evidence.py), and how much is needed.
    samples: payments, labels or lists behind it. at: event time of the newest of them. since: when it seems to have
    begun. explanation: what a person should know, with the numbers.
    """

    kind: DriftKind
    signal: str
    segment: str | None
    statistic: float
    threshold: float
    samples: int
    at: datetime
    since: datetime | None
    explanation: str
