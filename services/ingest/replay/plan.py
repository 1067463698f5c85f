"""What is to be replayed, and how."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import msgspec

from shared.contracts.topics import INTERACTIONS, LABELS, TRANSACTIONS, Topic

TOPICS: dict[str, Topic] = {topic.name: topic for topic in (TRANSACTIONS, LABELS, INTERACTIONS)}


class ReplayError(Exception):
    """The replay cannot go on; the message says why and what to do. What was acknowledged is remembered."""


@dataclass(frozen=True)
class ReplayPlan:
    """A file, how its columns make events, which of them, and how fast.

    file: CSV (.csv), JSON Lines (.jsonl, .ndjson) or Parquet (.parquet), sorted by event time.
    columns: event field → column; `attributes.NAME` makes an attribute. A column named as a field needs no entry.
    constants: event field → value, the same for every row.
    amount_unit: of the amount column; "major" is 19.99 where "minor" is 1999.
    since, until: event-time range, the end not included.
    fraud_column: where given, every payment is followed by its label, `label_delay` later, in event-time order.
    labels_after_end: send also the labels that fall behind the last payment, or behind `until`.
    speed: event-time seconds per second, 0 as fast as ingest accepts. rate: events per second, 0 no limit.
    sort: read the whole file into memory and sort it first.
    """

    file: Path
    topic: Literal["transactions", "labels", "interactions"] = "transactions"
    columns: dict[str, str] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)
    amount_unit: Literal["minor", "major"] = "minor"
    since: datetime | None = None
    until: datetime | None = None
    fraud_column: str | None = None
    label_delay: timedelta = timedelta(days=7)
    labels_after_end: bool = False
    sort: bool = False
    speed: float = 0.0
    rate: float = 0.0
    batch_events: int = 1_000

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            ReplayError: a setting contradicts another or is out of range.
        """
        if self.topic not in TOPICS:
            raise ReplayError(f"unknown topic {self.topic!r}; choose one of: {', '.join(TOPICS)}")
        if self.fraud_column is not None and self.topic != TRANSACTIONS.name:
            raise ReplayError("a fraud column goes with payments; replay them on the topic transactions")
        if self.amount_unit not in {"minor", "major"}:
            raise ReplayError(f"unknown amount unit {self.amount_unit!r}; choose minor or major")
        if self.speed and self.rate:
            raise ReplayError("give a speed or a rate, not both")
        if self.speed < 0 or self.rate < 0 or self.batch_events < 1 or self.label_delay < timedelta():
            raise ReplayError("speed, rate and label delay are not negative, and a batch has at least one event")
        if any(limit is not None and limit.tzinfo is None for limit in (self.since, self.until)):
            raise ReplayError("since and until need a time zone, for example datetime(2026, 1, 31, tzinfo=UTC)")
        if both := self.columns.keys() & self.constants.keys():
            raise ReplayError(f"{', '.join(sorted(both))}: give a column or a constant, not both")

    def digest(self, base_url: str) -> str:
        """Return what names this replay: the file, where it goes, and what chooses and orders its events."""
        status = self.file.stat()
        identity = (
            base_url,
            str(self.file.resolve()),
            status.st_size,
            status.st_mtime_ns,
            self.topic,
            sorted(self.columns.items()),
            sorted(self.constants.items()),
            self.amount_unit,
            self.since,
            self.until,
            self.fraud_column,
            self.label_delay,
            self.labels_after_end,
            self.sort,
        )
        return hashlib.sha256(msgspec.json.encode(identity)).hexdigest()
