"""What a check comes to."""

from typing import Literal

from msgspec import Struct

Outcome = Literal["ok", "warning", "failed", "not checked"]


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    area, subject: what of whom, as "kafka", "topics". found: what there is. advice: what to do; empty where nothing is.
    """

    area: str
    subject: str
    outcome: Outcome
    found: str
    advice: str = ""


class Area:
    """Makes the findings about one neighbour, or about this machine."""

    def __init__(self, name: str) -> None:
        """Name it."""
        self.name = name

    def ok(self, subject: str, found: str) -> Finding:
        """Return that nothing is wrong."""
        return Finding(area=self.name, subject=subject, outcome="ok", found=found)

    def warning(self, subject: str, found: str, advice: str) -> Finding:
        """Return what works and should not be so."""
        return Finding(area=self.name, subject=subject, outcome="warning", found=found, advice=advice)

    def failed(self, subject: str, found: str, advice: str) -> Finding:
        """Return what does not work, or loses something."""
        return Finding(area=self.name, subject=subject, outcome="failed", found=found, advice=advice)

    def not_checked(self, subject: str, found: str, advice: str = "") -> Finding:
        """Return why it could not be looked at."""
        return Finding(area=self.name, subject=subject, outcome="not checked", found=found, advice=advice)
