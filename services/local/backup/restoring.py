"""Restoring a backup into an empty platform: files first, and with the last topic everything is in force.

A file in the home marks a restore that is under way, so that one that was interrupted can be run again, by the same
backup alone.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from services.local.backup.contents import (
    ARTEFACTS_FOLDER,
    CARRIED,
    CONTENTS_NAME,
    DATABASE_NAME,
    KEYS_NAME,
    MODELS_FOLDER,
    BackupError,
    CarriedRecord,
    Contents,
    is_path_part,
    model_name,
    topic_name,
)
from services.local.backup.records import audits, continue_topic, read_records, records_in
from services.local.backup.runs import move_files
from services.local.backup.tar_file import Backup, opened
from shared.bus.base import Bus
from shared.contracts.chain import readable
from shared.contracts.events import ModelEvent
from shared.contracts.topics import MODELS, TOPICS
from shared.models.manifest import ModelManifest
from shared.models.packages import (
    MANIFEST_FILE,
    MODEL_FILE,
    Announced,
    ModelIntegrityError,
    Package,
    Packages,
    checked,
    sha256,
)

MARK_NAME = "restoring"
"""File in the home while a restore is not finished; in it, the SHA-256 of what the backup lists."""

Say = Callable[[str], None]
_Records = Mapping[str, Sequence[CarriedRecord]]
_Versions = Mapping[tuple[str, int], Package]


def restore(bus: Bus, home: Path, backup_file: Path, *, local_runs: bool, keys_file: Path | None, say: Say) -> Contents:
    """Restore a backup; return what it holds. Again after an interruption goes on where that came.

    local_runs: MLflow keeps its records on this machine, so those of the backup are put there. keys_file: where the API
    keys go, if the backup has them and they are not there already; None leaves them out.

    Raises:
        BackupError: the backup is damaged, or there is something here that it would mix with or replace; nothing was
            written then, but topics that were missing are made before their records are looked for.
        BusUnavailableError: the log does not answer; restore again.
    """
    with opened(backup_file) as backup:
        records = {topic.name: records_in(backup.read(topic_name(topic))) for topic in CARRIED}
        versions = _checked_versions(backup, backup_file, records)
        mark, mark_text = home / MARK_NAME, sha256(backup.read(CONTENTS_NAME))
        if not backup.holds(KEYS_NAME):
            keys_file = None
        is_begun = mark.exists()
        if is_begun and mark.read_text() != mark_text:
            raise BackupError(
                f"the restore of another backup into {home} was interrupted: restore that one again, or begin with "
                "an empty home and log"
            )
        others = _other_keys(backup, keys_file)
        _refuse(others if is_begun else [*_files_there(home, backup, local_runs=local_runs), *others])
        bus.create_topics(TOPICS)  # no earlier, and no later: what is not there cannot be read
        if not is_begun:
            _refuse(_records_there(bus))
        _leave(mark, mark_text)
        _restore_files(backup, home, versions, keys_file, local_runs=local_runs, say=say)
        for topic in CARRIED:
            written = continue_topic(bus, topic, records[topic.name])
            say(f"{topic.name}: {written} of {len(records[topic.name])} records written")
        _check_heads(bus, backup.contents)
        mark.unlink()
        return backup.contents


def _leave(mark: Path, text: str) -> None:
    mark.parent.mkdir(parents=True, exist_ok=True)
    aside = mark.with_name(f"{mark.name}.writing")
    aside.write_text(text)
    aside.replace(mark)


def _checked_versions(backup: Backup, backup_file: Path, records: _Records) -> _Versions:
    """Return the files of every version that is carried, by name and number; they are the announced ones."""
    found = {}
    for event in readable([record.value for record in records[MODELS.name]], ModelEvent):
        version = (event.model_name, event.model_version)
        if event.action != "registered":
            continue
        if not is_path_part(event.model_name):
            raise BackupError(f"{backup_file} has a model {event.model_name!r}, which leads out of {MODELS_FOLDER}/")
        if not backup.holds(model_name(*version, MODEL_FILE)):
            continue
        manifest, onnx = (backup.read(model_name(*version, file)) for file in (MANIFEST_FILE, MODEL_FILE))
        announced = Announced(*version, event.model_digest, event.manifest_digest)
        try:
            checked(Package(manifest, onnx), announced, kind=ModelManifest, origin=str(backup_file))
        except ModelIntegrityError as error:
            raise BackupError(f"the backup contradicts itself: {error}") from error
        found[version] = Package(manifest, onnx)
    return found


def _files_there(home: Path, backup: Backup, *, local_runs: bool) -> list[str]:
    models, database = home / MODELS_FOLDER, home / DATABASE_NAME
    packages = Packages(models)
    folders = sorted(path.name for path in models.iterdir() if path.is_dir()) if models.is_dir() else []
    there = [f"{name} {version} in {models}" for name in folders for version in packages.versions(name)]
    if local_runs and backup.holds(DATABASE_NAME) and database.exists():
        there.append(str(database))
    return there


def _other_keys(backup: Backup, keys_file: Path | None) -> list[str]:
    if keys_file is None or not keys_file.exists() or keys_file.read_bytes() == backup.read(KEYS_NAME):
        return []
    return [f"other API keys in {keys_file}, which --without-keys leaves in force"]


def _records_there(bus: Bus) -> list[str]:
    return [f"{count} records on {topic.name}" for topic in CARRIED if (count := len(read_records(bus, topic)))]


def _refuse(there: Sequence[str]) -> None:
    if there:
        raise BackupError(
            f"there is something here already: {', '.join(there)}. Restore into an empty platform: another "
            "HEADRACE_HOME, and a log on which nothing was announced; nothing was written"
        )


def _restore_files(
    backup: Backup, home: Path, versions: _Versions, keys_file: Path | None, *, local_runs: bool, say: Say
) -> None:
    packages = Packages(home / MODELS_FOLDER)
    for (name, version), package in versions.items():
        packages.replace(name, version, package)
    say(f"{len(versions)} model versions written to {home / MODELS_FOLDER}")
    if keys_file is not None and keys_file.exists():
        say(f"the API keys are in {keys_file} already")  # which may be read-only
    elif keys_file is not None:
        backup.copy(KEYS_NAME, keys_file)
        say(f"API keys written to {keys_file}")
    if not local_runs or not backup.holds(DATABASE_NAME):
        return
    for name in backup.names(ARTEFACTS_FOLDER):
        backup.copy(name, home / name)
    aside = home / f"{DATABASE_NAME}.restoring"
    backup.copy(DATABASE_NAME, aside)
    if before := backup.contents.artefacts_uri:
        move_files(aside, before=before, now=(home / ARTEFACTS_FOLDER).absolute().as_uri())
    aside.replace(home / DATABASE_NAME)
    say(f"runs and reports written to {home / DATABASE_NAME}")


def _check_heads(bus: Bus, contents: Contents) -> None:
    found = audits({topic.name: read_records(bus, topic) for topic in CARRIED})
    differing = [name for name, audit in found.items() if audit.head != contents.heads[name]]
    if differing:
        raise BackupError(
            f"after the restore {' and '.join(differing)} does not end where the backup does: somebody wrote to it "
            "meanwhile; begin again with an empty log"
        )
