"""The model registry as a folder: `<root>/<model>/<version>/{model.onnx, manifest.json}`.

A version appears whole or not at all, and is never changed afterwards. Which version is in service is not kept here:
the `models` topic tells.
"""

import hashlib
import os
import tempfile
from pathlib import Path

import msgspec

from shared.models.manifest import Manifest

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "manifest.json"


class ModelIntegrityError(Exception):
    """A model that is not there, or not the one that was announced; it must not be loaded."""


class Registry:
    """Reads and writes model versions below one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def versions(self, model_name: str) -> list[int]:
        """Return the registered versions, ascending."""
        folder = self._root / model_name
        return sorted(int(entry.name) for entry in folder.glob("[0-9]*")) if folder.is_dir() else []

    def add(self, manifest: Manifest, onnx: bytes) -> Path:
        """Keep a new version; return its folder.

        Raises:
            FileExistsError: that version is taken; ask `versions` for the next free one.
        """
        folder = self._root / manifest.model_name
        folder.mkdir(parents=True, exist_ok=True)
        final = folder / str(manifest.model_version)
        # Written aside, then renamed: a reader never sees half a version.
        aside = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
        _write(aside / MODEL_FILE, onnx)
        _write(aside / MANIFEST_FILE, msgspec.json.format(msgspec.json.encode(manifest)))
        if final.exists():
            raise FileExistsError(f"{manifest.model_name} {manifest.model_version} is registered already")
        aside.chmod(0o755)
        aside.rename(final)
        return final

    def manifest(self, model_name: str, version: int) -> Manifest:
        """Return a version's manifest; raises ModelIntegrityError when it is missing or unreadable."""
        path = self._root / model_name / str(version) / MANIFEST_FILE
        try:
            return msgspec.json.decode(path.read_bytes(), type=Manifest)
        except (OSError, msgspec.MsgspecError) as error:
            raise ModelIntegrityError(f"{path}: {error}") from error

    def load(self, model_name: str, version: int, *, digest: str | None) -> tuple[Manifest, bytes]:
        """Return a version's manifest and ONNX bytes, whose SHA-256 is `digest`.

        Raises:
            ModelIntegrityError: missing, unreadable, or not the announced bytes.
        """
        manifest = self.manifest(model_name, version)
        path = self._root / model_name / str(version) / MODEL_FILE
        try:
            onnx = path.read_bytes()
        except OSError as error:
            raise ModelIntegrityError(f"{path}: {error}") from error
        found = hashlib.sha256(onnx).hexdigest()
        if not found == digest == manifest.model_digest:
            raise ModelIntegrityError(f"{path} has SHA-256 {found}, announced was {digest}; register it again")
        return manifest, onnx


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
