"""Model packages on this machine: `<root>/<model>/<version>/{model.onnx, manifest.json}`, what services load from.

A package appears whole or not at all, and survives a power cut. Which version is in service is not kept here: the
`models` topic tells.
"""

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeVar, overload

import msgspec

from shared.models.manifest import Manifest, ModelManifest, manifest_type

M = TypeVar("M", bound=ModelManifest)

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"


class ModelIntegrityError(Exception):
    """A model that is not there, or not the one that was announced; it must not be loaded."""


class Package(NamedTuple):
    """The bytes of a version's two files."""

    manifest: bytes
    onnx: bytes


class Announced(NamedTuple):
    """A version, and the SHA-256 of its two files as far as they were announced."""

    model_name: str
    version: int
    digest: str | None
    manifest_digest: str | None


def packed(manifest: ModelManifest, onnx: bytes) -> Package:
    """Return the files of a version; the same manifest gives the same bytes."""
    return Package(msgspec.json.format(msgspec.json.encode(manifest)), onnx)


def sha256(content: bytes) -> str:
    """Return the SHA-256, hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def read_manifest(content: bytes, model_name: str, version: int, *, kind: type[M], origin: str) -> M:
    """Return the manifest in `content`, which came from `origin`.

    kind: what the caller can read; ModelManifest for that of any model.

    Raises:
        ModelIntegrityError: not a manifest, that of another model or version, or of another kind.
    """
    try:
        manifest = msgspec.json.decode(content, type=manifest_type(model_name))
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ModelIntegrityError(f"{origin}: {MANIFEST_FILE} cannot be read: {error}") from error
    if not isinstance(manifest, kind):
        raise ModelIntegrityError(
            f"{origin}: {model_name} has a {type(manifest).__name__}, and asked for was a {kind.__name__}"
        )
    if (manifest.model_name, manifest.model_version) != (model_name, version):
        raise ModelIntegrityError(
            f"{origin}: {MANIFEST_FILE} is that of {manifest.model_name} {manifest.model_version}, "
            f"not of {model_name} {version}"
        )
    return manifest


class Packages:
    """Reads and writes packages below one folder; safe for any number of processes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def versions(self, model_name: str) -> list[int]:
        """Return the versions that are here, ascending."""
        folder = self._root / model_name
        return sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdigit()) if folder.is_dir() else []

    def add(self, manifest: ModelManifest, onnx: bytes) -> Path:
        """Keep a new version; return its folder.

        Raises:
            FileExistsError: that version is here already.
        """
        final = self._folder(manifest.model_name, manifest.model_version)
        with _written_aside(final, packed(manifest, onnx)) as aside, _changing(final.parent):
            if final.exists():
                raise FileExistsError(f"{manifest.model_name} {manifest.model_version} is at {final} already")
            aside.rename(final)
        return final

    def replace(self, model_name: str, version: int, package: Package) -> None:
        """Put a package, whose digests the caller has checked, in the place of whatever is there."""
        final = self._folder(model_name, version)
        with _written_aside(final, package) as aside, _changing(final.parent):
            if final.exists():
                final.rename(aside.with_name("replaced"))  # and goes with what was written aside
            aside.rename(final)

    @overload
    def manifest(self, model_name: str, version: int) -> Manifest: ...
    @overload
    def manifest(self, model_name: str, version: int, *, kind: type[M]) -> M: ...
    def manifest(self, model_name: str, version: int, *, kind: type[ModelManifest] = Manifest) -> ModelManifest:
        """Return a version's manifest; raises ModelIntegrityError when it is missing, unreadable or of another kind."""
        folder = self._folder(model_name, version)
        return read_manifest(_read(folder / MANIFEST_FILE), model_name, version, kind=kind, origin=str(folder))

    @overload
    def load(
        self, model_name: str, version: int, *, digest: str | None, manifest_digest: str | None = None
    ) -> tuple[Manifest, bytes]: ...
    @overload
    def load(
        self,
        model_name: str,
        version: int,
        *,
        digest: str | None,
        manifest_digest: str | None = None,
        kind: type[M],
    ) -> tuple[M, bytes]: ...
    def load(
        self,
        model_name: str,
        version: int,
        *,
        digest: str | None,
        manifest_digest: str | None = None,
        kind: type[ModelManifest] = Manifest,
    ) -> tuple[ModelManifest, bytes]:
        """Return a version's manifest and ONNX bytes, whose SHA-256 is `digest`.

        manifest_digest: SHA-256 of the manifest file, where it was announced. kind: of the manifest.

        Raises:
            ModelIntegrityError: missing, unreadable, or not the announced bytes; or its manifest is of another kind.
        """
        folder = self._folder(model_name, version)
        package = Package(_read(folder / MANIFEST_FILE), _read(folder / MODEL_FILE))
        announced = Announced(model_name, version, digest, manifest_digest)
        return checked(package, announced, kind=kind, origin=str(folder))

    def _folder(self, model_name: str, version: int) -> Path:
        return self._root / model_name / str(version)


def checked(package: Package, announced: Announced, *, kind: type[M], origin: str) -> tuple[M, bytes]:
    """Return the manifest and the ONNX bytes of `package`, which came from `origin`, once every digest holds.

    Raises:
        ModelIntegrityError: not the announced bytes, or its manifest is of another kind.
    """
    found = sha256(package.manifest)
    if announced.manifest_digest is not None and found != announced.manifest_digest:
        raise ModelIntegrityError(
            f"{origin}: {MANIFEST_FILE} has SHA-256 {found}, announced was {announced.manifest_digest}; "
            "register it again"
        )
    manifest = read_manifest(package.manifest, announced.model_name, announced.version, kind=kind, origin=origin)
    found = sha256(package.onnx)
    if not found == announced.digest == manifest.model_digest:
        raise ModelIntegrityError(
            f"{origin}: {MODEL_FILE} has SHA-256 {found}, announced was {announced.digest}, "
            f"{MANIFEST_FILE} says {manifest.model_digest}; register it again"
        )
    return manifest, package.onnx


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelIntegrityError(f"{path}: {error.strerror}") from error


@contextlib.contextmanager
def _written_aside(final: Path, package: Package) -> Iterator[Path]:
    """Write a package beside where it shall be, and yield its folder: a reader never sees half of one."""
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=final.parent) as aside:
        written = Path(aside) / "package"
        written.mkdir()
        _write(written / MODEL_FILE, package.onnx)
        _write(written / MANIFEST_FILE, package.manifest)
        _sync(written)
        yield written


@contextlib.contextmanager
def _changing(folder: Path) -> Iterator[None]:
    """Be the only one who changes `folder`, and make the change outlive a power cut."""
    with locked(folder / ".lock"):
        yield
        _sync(folder)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which is made where it is missing; wait for whoever holds it."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Make the names in `folder` outlive a power cut."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
