"""What is to be replayed, and how."""

import hashlib
from dataclasses import dataclass

import msgspec

from shared.files.event_file import EventFile


class ReplayError(Exception):
    """The replay cannot go on; the message says why and what to do. What was acknowledged is remembered."""


@dataclass(frozen=True)
class ReplayPlan(EventFile):
    """A file of events, and how fast to send them.

    speed: event-time seconds per second, 0 as fast as ingest accepts. rate: events per second, 0 no limit.
    """

    speed: float = 0.0
    rate: float = 0.0
    batch_events: int = 1_000

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            FileError: what is said about the file contradicts itself.
            ReplayError: a setting contradicts another or is out of range.
        """
        super().__post_init__()
        if self.speed and self.rate:
            raise ReplayError("give a speed or a rate, not both")
        if self.speed < 0 or self.rate < 0 or self.batch_events < 1:
            raise ReplayError("speed and rate are not negative, and a batch has at least one event")

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
