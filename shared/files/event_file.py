"""A file of events: how its columns make events, and which of them."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from shared.contracts.topics import INTERACTIONS, ITEMS, LABELS, TRANSACTIONS, USERS, Topic

TOPICS: dict[str, Topic] = {topic.name: topic for topic in (TRANSACTIONS, LABELS, INTERACTIONS, ITEMS, USERS)}


class FileError(Exception):
    """A file cannot be read, or not as it is described; the message says why and what to do."""


@dataclass(frozen=True)
class EventFile:
    """A file, how its columns make events, and which of them.

    file: CSV (.csv), JSON Lines (.jsonl, .ndjson) or Parquet (.parquet), sorted by event time.
    columns: event field → column; `attributes.NAME` makes an attribute. A column named as a field needs no entry.
    constants: event field → value, the same for every row.
    amount_unit: of the amount column; "major" is 19.99 where "minor" is 1999.
    undated_at: event time of a file, or of a row of JSON Lines, that tells none; without it there must be one.
    since, until: event-time range, the end not included.
    fraud_column: where given, every payment is followed by its label, `label_delay` later, in event-time order.
    labels_after_end: yield also the labels that fall behind the last payment, or behind `until`.
    sort: read the whole file into memory and sort it first.
    """

    file: Path
    topic: Literal["transactions", "labels", "interactions", "items", "users"] = "transactions"
    columns: dict[str, str] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)
    amount_unit: Literal["minor", "major"] = "minor"
    undated_at: datetime | None = None
    since: datetime | None = None
    until: datetime | None = None
    fraud_column: str | None = None
    label_delay: timedelta = timedelta(days=7)
    labels_after_end: bool = False
    sort: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            FileError: a setting contradicts another or is out of range.
        """
        if self.topic not in TOPICS:
            raise FileError(f"unknown topic {self.topic!r}; choose one of: {', '.join(TOPICS)}")
        if self.fraud_column is not None and self.topic != TRANSACTIONS.name:
            raise FileError("a fraud column goes with payments; read them as the topic transactions")
        if self.amount_unit not in {"minor", "major"}:
            raise FileError(f"unknown amount unit {self.amount_unit!r}; choose minor or major")
        if self.label_delay < timedelta():
            raise FileError("the label delay is not negative")
        times = (self.since, self.until, self.undated_at)
        if any(time is not None and time.tzinfo is None for time in times):
            raise FileError(
                "since, until and undated_at need a time zone, for example datetime(2026, 1, 31, tzinfo=UTC)"
            )
        if both := self.columns.keys() & self.constants.keys():
            raise FileError(f"{', '.join(sorted(both))}: give a column or a constant, not both")
