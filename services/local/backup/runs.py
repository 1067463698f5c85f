"""MLflow's database on this machine: copied while it is in use, and told where its files lie after a move."""

import contextlib
import sqlite3
from pathlib import Path

_PLACES = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)
"""Where MLflow 3 keeps absolute addresses of files: table, column."""


def copy_database(source: Path, target: Path) -> None:
    """Write a consistent copy of a database to which others may write meanwhile; raises sqlite3.Error."""
    with (
        contextlib.closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as there,
        contextlib.closing(sqlite3.connect(target)) as here,
    ):
        there.backup(here)


def move_files(database: Path, *, before: str, now: str) -> None:
    """Tell a database that the files below the address `before` lie below `now`; again changes nothing."""
    if before == now:
        return
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        for table, column in _PLACES:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",  # noqa: S608 - of _PLACES
                (f"{now}/", len(before) + 2, len(before) + 1, f"{before}/"),
            )
