"""The tar file of a backup: written whole or not at all, and read only once every byte has been checked."""

import contextlib
import errno
import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from services.local.backup.contents import (
    CONTENTS_NAME,
    DIGEST_NAME,
    FORMAT,
    BackupError,
    CarriedFile,
    Contents,
    is_file_name,
)

_CHUNK_BYTES = 1 << 20
_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
"""What a file system that has none answers."""


class BackupWriter:
    """Adds files to a backup, and remembers what it added; raises BackupError for a name that cannot come back."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.files: list[CarriedFile] = []

    def add(self, name: str, content: bytes) -> None:
        """Add a file with this content."""
        self._add(name, len(content), io.BytesIO(content))

    def add_file(self, name: str, path: Path) -> None:
        """Add a copy of a file; raises OSError where it cannot be read."""
        with path.open("rb") as file:
            self._add(name, os.fstat(file.fileno()).st_size, file)

    def finish(self, contents: Contents) -> None:
        """Add the list of everything; nothing can be added after it."""
        encoded = msgspec.json.format(msgspec.json.encode(contents))
        self.add(CONTENTS_NAME, encoded)
        self.add(DIGEST_NAME, hashlib.sha256(encoded).hexdigest().encode())

    def _add(self, name: str, size_bytes: int, source: IO[bytes]) -> None:
        if not is_file_name(name):
            raise BackupError(f"{name!r} cannot be restored under that name: rename or remove that file")
        described = tarfile.TarInfo(name)
        described.size, described.mode = size_bytes, 0o600
        digested = _Digested(source)
        self._tar.addfile(described, digested)
        self.files.append(CarriedFile(name, size_bytes, digested.digest.hexdigest()))


class _Digested(io.RawIOBase):
    """A file whose SHA-256 is taken while it is read."""

    def __init__(self, source: IO[bytes]) -> None:
        super().__init__()
        self._source = source
        self.digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        content = self._source.read(size)
        self.digest.update(content)
        return content


@contextlib.contextmanager
def written(path: Path) -> Iterator[BackupWriter]:
    """Write a backup: it is at `path`, readable by its owner alone, once the block ends well, and not before.

    Raises:
        BackupError: there is something at `path`, or it cannot be written.
    """
    if path.exists():
        raise BackupError(f"{path} is there already; name another file")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
            aside = Path(folder) / path.name
            aside.touch(mode=0o600)
            with aside.open("r+b") as file:
                with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                    yield BackupWriter(tar)
                file.flush()
                os.fsync(file.fileno())
            _put(aside, path)
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error}") from error


def _put(aside: Path, path: Path) -> None:
    """Give a file its name, and never replace what came there meanwhile."""
    try:
        os.link(aside, path)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        path.touch(mode=0o600, exist_ok=False)  # the name is ours from here on
        aside.replace(path)


class Backup:
    """A backup of which every byte is as it was written."""

    def __init__(self, tar: tarfile.TarFile, contents: Contents) -> None:
        self._tar = tar
        self.contents = contents

    def names(self, folder: str) -> list[str]:
        """Return the names of the files in a folder and below, in the order in which they were added."""
        return [file.name for file in self.contents.files if file.name.startswith(f"{folder}/")]

    def holds(self, name: str) -> bool:
        """Tell whether there is such a file."""
        return any(file.name == name for file in self.contents.files)

    def read(self, name: str) -> bytes:
        """Return the content of a file; raises KeyError where there is none."""
        with _member(self._tar, name) as file:
            return file.read()

    def copy(self, name: str, path: Path) -> None:
        """Write a file to `path`, whole or not at all, readable by its owner alone."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with _member(self._tar, name) as file, tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as aside:
            while chunk := file.read(_CHUNK_BYTES):
                aside.write(chunk)
            aside.flush()
            os.fsync(aside.fileno())
        Path(aside.name).replace(path)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Backup]:
    """Yield the backup at `path`.

    Raises:
        BackupError: it cannot be read, was written by a version this one does not know, or is not what was written.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            yield Backup(tar, _checked(path, tar))
    except (OSError, tarfile.TarError) as error:
        raise BackupError(f"{path} cannot be read: {error}") from error


def _checked(path: Path, tar: tarfile.TarFile) -> Contents:
    names = tar.getnames()
    if names[-2:] != [CONTENTS_NAME, DIGEST_NAME]:
        raise BackupError(f"{path} is no backup, or its end is missing: take another copy of it")
    with _member(tar, CONTENTS_NAME) as listed, _member(tar, DIGEST_NAME) as digest:
        encoded = listed.read()
        if hashlib.sha256(encoded).hexdigest().encode() != digest.read():
            raise _damaged(path, CONTENTS_NAME)
    contents = _decoded(path, encoded)
    if names[:-2] != [file.name for file in contents.files]:
        raise _damaged(path, "the list of its files")
    for file in contents.files:
        if not is_file_name(file.name):
            raise BackupError(
                f"{path} holds {file.name!r}, which leads out of it: no backup of Headrace, do not use it"
            )
        with _member(tar, file.name) as member:
            digested = _Digested(member)
            while digested.read(_CHUNK_BYTES):
                pass
            if digested.digest.hexdigest() != file.sha256:
                raise _damaged(path, file.name)
    return contents


def _decoded(path: Path, encoded: bytes) -> Contents:
    try:
        contents = msgspec.json.decode(encoded, type=Contents)
    except msgspec.MsgspecError as error:
        raise BackupError(f"{path}: {CONTENTS_NAME} cannot be read by this version of Headrace: {error}") from error
    if contents.format != FORMAT:
        raise BackupError(
            f"{path} was written by Headrace {contents.version}, in format {contents.format}; this version reads "
            f"format {FORMAT}"
        )
    return contents


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    file = tar.extractfile(name)
    if file is None:
        raise tarfile.ReadError(f"{name} is no file")
    return file


def _damaged(path: Path, what: str) -> BackupError:
    return BackupError(f"{path} is damaged: {what} is not what was written; take another copy of it")
