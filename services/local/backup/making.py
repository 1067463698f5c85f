"""Making a backup while everything runs: the log is read to a point, then the files it names, which stay."""

import importlib.metadata
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from services.local.backup.contents import (
    ARTEFACTS_FOLDER,
    CARRIED,
    DATABASE_NAME,
    FORMAT,
    KEYS_NAME,
    BackupError,
    Contents,
    model_name,
    topic_name,
)
from services.local.backup.records import audits, lines, read_records
from services.local.backup.runs import copy_database
from services.local.backup.tar_file import BackupWriter, written
from shared.bus.base import Bus
from shared.contracts.chain import readable
from shared.contracts.events import ModelEvent
from shared.contracts.topics import MODELS
from shared.models import lineage
from shared.models.manifest import ModelManifest
from shared.models.packages import MANIFEST_FILE, MODEL_FILE, ModelIntegrityError
from shared.models.registry import Registry, RegistryUnavailableError


def back_up(
    bus: Bus, home: Path, *, tracking_uri: str | None, to: Path, now: datetime, keys_file: Path | None
) -> Contents:
    """Write a backup to the file `to`; return what it holds.

    tracking_uri: of an MLflow server, whose runs are its own to back up. now: wall time. keys_file: None leaves the
    API keys out.

    Raises:
        BackupError: it cannot be written, or the files of a version that has a role now are nowhere to be found.
        BusUnavailableError: the log does not answer.
    """
    registry = Registry(home, tracking_uri=tracking_uri)
    records = {topic.name: read_records(bus, topic) for topic in CARRIED}
    events = list(readable([record.value for record in records[MODELS.name]], ModelEvent))
    with written(to) as writer:
        for topic in CARRIED:
            writer.add(topic_name(topic), lines(records[topic.name]))
        absent = _add_models(writer, events, registry, home)
        artefacts_uri = None if tracking_uri else _add_runs(writer, home)
        if keys_file is not None:
            _add_keys(writer, keys_file)
        found = audits(records)
        contents = Contents(
            format=FORMAT,
            made_at=now,
            version=importlib.metadata.version("headrace"),
            records={name: len(carried) for name, carried in records.items()},
            heads={name: audit.head for name, audit in found.items()},
            problems=[f"{name}: {problem}" for name, audit in found.items() for problem in audit.problems],
            in_force=_in_force(events),
            absent=absent,
            registry=registry.address,
            artefacts_uri=artefacts_uri,
            files=list(writer.files),
        )
        writer.finish(contents)
    return contents


def _in_force(events: Sequence[ModelEvent]) -> dict[str, int]:
    champions = {name: lineage.in_force(events, name) for name in sorted({event.model_name for event in events})}
    return {name: event.model_version for name, event in champions.items() if event is not None}


def _add_models(writer: BackupWriter, events: Sequence[ModelEvent], registry: Registry, home: Path) -> list[str]:
    """Add the files of every registered version, from MLflow where they are not here; return what is nowhere."""
    needed = set(_with_a_role(events))
    absent = []
    registered = {(e.model_name, e.model_version): e for e in events if e.action == "registered"}
    for version, event in registered.items():
        try:
            registry.load(
                *version, digest=event.model_digest, manifest_digest=event.manifest_digest, kind=ModelManifest
            )
            for file in (MODEL_FILE, MANIFEST_FILE):
                writer.add_file(model_name(*version, file), home / model_name(*version, file))
        except (ModelIntegrityError, RegistryUnavailableError) as error:
            if version in needed:
                raise BackupError(
                    f"{version[0]} {version[1]}, which is needed now, cannot be carried: {error}"
                ) from error
            absent.append(f"{version[0]} {version[1]}: {error}")
    return absent


def _with_a_role(events: Sequence[ModelEvent]) -> Iterator[tuple[str, int]]:
    for name in {event.model_name for event in events}:
        now = lineage.standing(events, name)
        holders = (now.champion, now.canary, lineage.previous(events, name), *now.challengers)
        yield from ((name, event.model_version) for event in holders if event is not None)


def _add_runs(writer: BackupWriter, home: Path) -> str | None:
    """Add MLflow's database and the files of its runs; return the files' address, None where there is no database."""
    database, artefacts = home / DATABASE_NAME, (home / ARTEFACTS_FOLDER).absolute()
    if not database.exists():
        return None
    with tempfile.TemporaryDirectory() as aside:
        # The database first: what it calls finished has all of its files.
        try:
            copy_database(database, Path(aside) / DATABASE_NAME)
        except sqlite3.Error as error:
            raise BackupError(f"{database} cannot be copied: {error}") from error
        writer.add_file(DATABASE_NAME, Path(aside) / DATABASE_NAME)
    for path in sorted(path for path in artefacts.rglob("*") if path.is_file()):
        writer.add_file(f"{ARTEFACTS_FOLDER}/{path.relative_to(artefacts).as_posix()}", path)
    return artefacts.as_uri()


def _add_keys(writer: BackupWriter, keys_file: Path) -> None:
    if not keys_file.exists():
        raise BackupError(f"there are no API keys at {keys_file}; leave out --with-keys")
    writer.add_file(KEYS_NAME, keys_file)
