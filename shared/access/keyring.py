"""The keys in force, which follow the file while the service runs."""

import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from shared.access.keys import Key, KeysFileError, read_keys
from shared.runtime.clock import Clock
from shared.runtime.logs import fields

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How long, at most, a changed file stays unnoticed."""


class _Seen(NamedTuple):
    """What tells one version of the file from another."""

    inode: int
    modified_ns: int
    size_bytes: int


class Keyring:
    """Looks at the keys file at most once in LOOK_SECONDS.

    A file that cannot be read changes nothing: the keys before stay in force, and `problem` tells. Where there was a
    file once, there are keys: a file that goes away leaves none in force, and the service closed.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._keys: Mapping[str, Key] | None = None
        self._problem: str | None = None
        self._seen: _Seen | None = None
        self._looked_seconds = -math.inf

    def keys(self) -> Mapping[str, Key] | None:
        """Return the keys in force by their ids; None while there has never been a file."""
        now_seconds = self._clock.monotonic_seconds()
        if now_seconds - self._looked_seconds >= LOOK_SECONDS:
            self._looked_seconds = now_seconds
            self._look()
        return self._keys

    def problem(self) -> str | None:
        """Tell in one line what is wrong with the file, or None."""
        self.keys()
        return self._problem

    def _look(self) -> None:
        seen = _seen(self._path)
        if seen == self._seen and self._problem is None:
            return
        try:
            keys = read_keys(self._path)
        except KeysFileError as error:
            self._keys = self._keys or {}
            self._say(f"{error}; the keys read before stay in force")
            return
        self._seen = seen
        if keys is None:
            if self._keys is not None:
                self._keys = {}
                self._say(f"{self._path} is gone, and with it every key: `headrace keys create` makes one")
            return
        self._keys = {key.key_id: key for key in keys if key.revoked_at is None}
        self._problem = None
        log.info("keys in force", **fields(keys=len(self._keys), file=str(self._path)))

    def _say(self, problem: str) -> None:
        if problem != self._problem:
            log.error(problem)
        self._problem = problem


def _seen(path: Path) -> _Seen | None:
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    except OSError:
        # Out of reach is not absent: reading it tells what is wrong.
        return _Seen(0, 0, 0)
    return _Seen(stat.st_ino, stat.st_mtime_ns, stat.st_size)
