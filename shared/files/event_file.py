"""A file of events: how its columns make events, and which of them."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from shared.contracts.topics import INTERACTIONS, LABELS, TRANSACTIONS, Topic

TOPICS: dict[str, Topic] = {topic.name: topic for topic in (TRANSACTIONS, LABELS, INTERACTIONS)}


class FileError(Exception):
    """A file cannot be read, or not as it is described; the message says why and what to do."""


@dataclass(frozen=True)
class EventFile:
    """A file, how its columns make events, and which of them.

    file: CSV (.csv), JSON Lines (.jsonl, .ndjson) or Parquet (.parquet), sorted by event time.
    columns: event field → column; `attributes.NAME` makes an attribute. A column named as a field needs no entry.
    constants: event field → value, the same for every row.
    amount_unit: of the amount column; "major" is 19.99 where "minor" is 1999.
    since, until: event-time range, the end not included.
    fraud_column: where given, every payment is followed by its label, `label_delay` later, in event-time order.
    labels_after_end: yield also the labels that fall behind the last payment, or behind `until`.
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
        if any(limit is not None and limit.tzinfo is None for limit in (self.since, self.until)):
            raise FileError("since and until need a time zone, for example datetime(2026, 1, 31, tzinfo=UTC)")
        if both := self.columns.keys() & self.constants.keys():
            raise FileError(f"{', '.join(sorted(both))}: give a column or a constant, not both")
