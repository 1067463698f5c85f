"""How often a run was begun for a request, remembered over crashes."""

import contextlib
import os
from pathlib import Path
from typing import NamedTuple

_BEGUN = "begun"


class Attempted(NamedTuple):
    """What became of the runs of one request.

    begun: how many runs were begun. ending: what ended the latest: an exception's type, or the whole process.
    """

    begun: int
    ending: str


class Attempts:
    """One small file a request, `<folder>/<event id>`, with a line for every run and every exception that ended one.

    A run is on disk before it begins, so that one which takes the process along, like a kill for want of memory, counts
    as well.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def made(self, event_id: str) -> Attempted:
        """Return what was tried for a request; raises OSError where that cannot be read."""
        try:
            lines = (self._folder / event_id).read_text().splitlines()
        except FileNotFoundError:
            lines = []
        ending = lines[-1] if lines and lines[-1] != _BEGUN else "the process ended in mid-run"
        return Attempted(lines.count(_BEGUN), ending)

    def begin(self, event_id: str) -> None:
        """Remember that a run begins; raises OSError where that cannot be written."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._append(event_id, _BEGUN)

    def failed(self, event_id: str, error: Exception) -> None:
        """Remember what ended the run."""
        self._append(event_id, type(error).__name__)

    def forget(self, event_id: str) -> None:
        """The request is answered: forget about it."""
        # What is left behind does no harm: no other request has this id.
        with contextlib.suppress(OSError):
            (self._folder / event_id).unlink()

    def _append(self, event_id: str, line: str) -> None:
        with (self._folder / event_id).open("a") as file:
            file.write(f"{line}\n")
            file.flush()
            os.fsync(file.fileno())
