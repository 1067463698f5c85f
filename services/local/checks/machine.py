"""Python, packages, the disk and the ports of this machine."""

import importlib.metadata
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from services.local.addresses import PREFERRED_PORTS
from services.local.checks.finding import Area, Finding
from services.local.ports import listening

_PYTHON_MIN = (3, 11)
_FREE_BYTES_WARNING = 10 * 2**30
_FREE_BYTES_MIN = 2**30
_LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


class Machine(NamedTuple):
    """What is looked at.

    lock: the file of pinned packages. free_bytes: of the disk that a folder is on. is_running: a platform runs from
    here, so that its ports are taken.
    """

    home: Path
    lock: Path
    is_running: bool
    free_bytes: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free


def check_machine(area: Area, machine: Machine) -> Sequence[Finding]:
    """Look at this machine."""
    return [_python(area), _packages(area, machine.lock), _disk(area, machine), *_ports(area, machine)]


def _python(area: Area) -> Finding:
    told = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _PYTHON_MIN:
        return area.failed("python", f"{told}; 3.11 or newer is needed", "make the environment anew with it")
    return area.ok("python", told)


def _packages(area: Area, lock: Path) -> Finding:
    try:
        locked = dict(_LOCKED.findall(lock.read_text()))
    except OSError as error:
        return area.not_checked("packages", f"{lock}: {error.strerror}")
    other = list(_differing(locked))
    if other:
        told = f"{len(other)} of {len(locked)} are not those of {lock.name}: {', '.join(other[:4])}"
        return area.warning("packages", told, f"`pip install --require-hashes -r {lock.name}`")
    return area.ok("packages", f"all {len(locked)} as in {lock.name}")


def _differing(locked: Mapping[str, str]) -> Iterator[str]:
    for name, version in locked.items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "missing"
        if found != version:
            yield f"{name} {found}, not {version}"


def _disk(area: Area, machine: Machine) -> Finding:
    folder = next(path for path in (machine.home.absolute(), *machine.home.absolute().parents) if path.exists())
    free = machine.free_bytes(folder)
    told = f"{free / 2**30:,.1f} GiB are free at {folder}"
    if free < _FREE_BYTES_MIN:
        return area.failed("disk", told, "make room: the archive, the journal and models stop when it is full")
    if free < _FREE_BYTES_WARNING:
        return area.warning("disk", told, "make room")
    return area.ok("disk", told)


def _ports(area: Area, machine: Machine) -> Iterator[Finding]:
    if machine.is_running:
        return
    taken = [f"{port} ({name})" for name, port in PREFERRED_PORTS.items() if listening(port)]
    if taken:
        told = f"taken by something else: {', '.join(taken)}"
        yield area.warning("ports", told, "`headrace up` takes others, and tells which")
    else:
        yield area.ok("ports", "those that `headrace up` prefers are free")
