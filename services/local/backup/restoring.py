"""Restoring a backup into an empty platform: files first, and with the last topic everything is in force.

A file in the home marks a restore that is under way, so that one that was interrupted can be run again, by the same
backup alone.
"""

import stat
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


def restore(bus: Bus, home: Path, backup_file: Path, *, local_runs: bool, keys_file: Path, say: Say) -> Contents:
    """Restore a backup; return what it holds. Again after an interruption goes on where that came.

    local_runs: MLflow keeps its records on this machine, so those of the backup are put there. keys_file: where the API
    keys go, if the backup has them.

    Raises:
        BackupError: the backup is damaged, or there is something here that it would mix with or replace; nothing was
            written then.
        BusUnavailableError: the log does not answer; restore again.
    """
    with opened(backup_file) as backup:
        records = {topic.name: records_in(backup.read(topic_name(topic))) for topic in CARRIED}
        versions = _checked_versions(backup, backup_file, records)
        mark, mark_text = home / MARK_NAME, sha256(backup.read(CONTENTS_NAME))
        bus.create_topics(TOPICS)
        if not mark.exists():
            _refuse_unless_empty(bus, home, backup, keys_file, local_runs=local_runs)
        elif mark.read_text() != mark_text:
            raise BackupError(
                f"the restore of another backup into {home} was interrupted: restore that one again, or begin with "
                "an empty home and log"
            )
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
        if event.action != "registered" or not backup.holds(model_name(*version, MODEL_FILE)):
            continue
        manifest, onnx = (backup.read(model_name(*version, file)) for file in (MANIFEST_FILE, MODEL_FILE))
        announced = Announced(*version, event.model_digest, event.manifest_digest)
        try:
            checked(Package(manifest, onnx), announced, kind=ModelManifest, origin=str(backup_file))
        except ModelIntegrityError as error:
            raise BackupError(f"the backup contradicts itself: {error}") from error
        found[version] = Package(manifest, onnx)
    return found


def _refuse_unless_empty(bus: Bus, home: Path, backup: Backup, keys_file: Path, *, local_runs: bool) -> None:
    there = [f"{count} records on {topic.name}" for topic in CARRIED if (count := len(read_records(bus, topic)))]
    models = home / MODELS_FOLDER
    packages = Packages(models)
    folders = sorted(path.name for path in models.iterdir() if path.is_dir()) if models.is_dir() else []
    there += [f"{name} {version} in {models}" for name in folders for version in packages.versions(name)]
    files = [home / DATABASE_NAME] if local_runs and backup.holds(DATABASE_NAME) else []
    files += [keys_file] if backup.holds(KEYS_NAME) else []
    there += [str(path) for path in files if path.exists()]
    if there:
        raise BackupError(
            f"there is something here already: {', '.join(there)}. Restore into an empty platform: another "
            "HEADRACE_HOME, and a log on which nothing was announced; nothing was written"
        )


def _restore_files(
    backup: Backup, home: Path, versions: _Versions, keys_file: Path, *, local_runs: bool, say: Say
) -> None:
    packages = Packages(home / MODELS_FOLDER)
    for (name, version), package in versions.items():
        packages.replace(name, version, package)
    say(f"{len(versions)} model versions written to {home / MODELS_FOLDER}")
    if backup.holds(KEYS_NAME):
        backup.copy(KEYS_NAME, keys_file)
        keys_file.chmod(stat.S_IRUSR | stat.S_IWUSR)
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
