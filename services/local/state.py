"""What `headrace up` leaves behind so that later commands find it: `<home>/platform.json`."""

import os
import tempfile
from pathlib import Path

import msgspec
from msgspec import Struct

from services.local.addresses import Addresses
from services.local.errors import PlatformError
from services.local.identity import ProcessIdentity, Stoppable, alive

STATE_FILE = "platform.json"


class ProcessEntry(Struct, frozen=True, kw_only=True):
    """One process that was started; `server` tells the broker and the store from the services."""

    name: str
    identity: ProcessIdentity
    log: str
    server: bool

    def alive(self) -> bool:
        """Tell whether this very process still runs."""
        return alive(self.identity)

    def stoppable(self) -> Stoppable:
        """Return it as something to stop."""
        return Stoppable(self.name, self.identity)


class PlatformState(Struct, frozen=True, kw_only=True):
    """Everything `up` started, in the order of its start, and where it answers."""

    addresses: Addresses
    processes: list[ProcessEntry] = []


def read_state(home: Path) -> PlatformState | None:
    """Return what was left in `home`; None when nothing was.

    Raises:
        PlatformError: the file is not one of ours.
    """
    path = home / STATE_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=PlatformState)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise PlatformError(f"{path} cannot be read ({error}); delete it, and end its processes by hand") from error


def write_state(home: Path, state: PlatformState) -> None:
    """Keep `state` in `home`, whole or not at all."""
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=home, prefix=STATE_FILE, delete=False) as aside:
        aside.write(msgspec.json.format(msgspec.json.encode(state)))
    os.replace(aside.name, home / STATE_FILE)  # noqa: PTH105 - the name is a string already


def forget_state(home: Path) -> None:
    """Remove what was kept."""
    (home / STATE_FILE).unlink(missing_ok=True)
