"""What a server costs: processor time and memory of its process and all that it started, as Linux counts them."""

import os
from pathlib import Path
from typing import NamedTuple

# Places behind the command's name in /proc/<pid>/stat (proc_pid_stat(5)).
_PARENT, _USER_TICKS, _SYSTEM_TICKS, _RESIDENT_PAGES = 1, 11, 12, 21
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Usage(NamedTuple):
    """Processor seconds, user and system, up to now; megabytes resident now."""

    cpu_seconds: float
    resident_mb: float


def usage_of(process: int) -> Usage:
    """Return what a process uses, with its children, theirs, and so on; `process`: its id."""
    stats = _stats()
    family = {process}
    while grown := {pid for pid, fields in stats.items() if int(fields[_PARENT]) in family} - family:
        family |= grown
    own = [stats[pid] for pid in family & stats.keys()]
    ticks = sum(int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS]) for fields in own)
    pages = sum(int(fields[_RESIDENT_PAGES]) for fields in own)
    return Usage(ticks / _TICKS_PER_SECOND, pages * _PAGE_BYTES / 1e6)


def _stats() -> dict[int, list[str]]:
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The command's name stands in parentheses, and may hold some itself.
            found[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
    return found
