"""Files of the archive: written whole or not at all, and for good."""

import contextlib
import io
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from shared.store.base import StoreUnavailableError


@contextlib.contextmanager
def disk_told() -> Iterator[None]:
    """Turn what the disk refuses into StoreUnavailableError, which is waited for."""
    try:
        yield
    except OSError as error:
        raise StoreUnavailableError(f"the archive cannot be written, free or mend the disk: {error}") from error


def write_durably(path: Path, frame: pl.DataFrame) -> None:
    """Write a Parquet file that survives a power cut; a reader sees the whole file or none. Raises OSError."""
    content = io.BytesIO()
    frame.write_parquet(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(prefix=path.stem, suffix=".writing", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        Path(aside).chmod(0o644)
        Path(aside).replace(path)
    except OSError:
        Path(aside).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
