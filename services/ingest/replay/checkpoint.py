"""How far a replay has come, in a small file, so that the next run goes on from there."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

_encoder = msgspec.json.Encoder(enc_hook=str)


class Position(Struct, frozen=True):
    """What is done.

    steps: events acknowledged or refused, counted over the whole replay, labels included.
    """

    steps: int = 0
    accepted: int = 0
    rejected: int = 0


class Checkpoint:
    """The position of one replay, and the file that holds what was refused."""

    def __init__(self, home: Path, digest: str) -> None:
        folder = home / "replay"
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"{digest}.json"
        self.rejected_file = folder / f"{digest}.rejected.jsonl"

    def read(self) -> Position:
        """Return where the last run stopped; the beginning where there was none or it finished."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Position)
        except FileNotFoundError:
            return Position()

    def write(self, position: Position) -> None:
        """Remember `position`; whoever is killed while writing leaves the one before."""
        fresh = self._file.with_suffix(".new")
        fresh.write_bytes(_encoder.encode(position))
        fresh.replace(self._file)

    def restart(self) -> None:
        """Forget the position and what was refused."""
        self._file.unlink(missing_ok=True)
        self.rejected_file.unlink(missing_ok=True)

    def finish(self) -> None:
        """Forget the position; what was refused stays for a person to look at."""
        self._file.unlink(missing_ok=True)

    def add_rejected(self, refusals: Sequence[dict[str, Any]]) -> None:
        """Write down what was refused, and why."""
        if refusals:
            with self.rejected_file.open("ab") as file:
                file.writelines(_encoder.encode(refusal) + b"\n" for refusal in refusals)
