"""A backup's file: what leads out of it is refused, it gets its name on any disk, and keys that are here stay."""

import errno
import hashlib
import io
import os
import tarfile
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from services.cli.backup import backup
from services.local.backup.contents import (
    CONTENTS_NAME,
    DIGEST_NAME,
    MODELS_FOLDER,
    BackupError,
    CarriedFile,
    Contents,
)
from services.local.backup.restoring import MARK_NAME, restore
from services.training.model_log import ModelLog
from shared.bus.base import BusUnavailableError, SoleWriter
from shared.bus.memory import MemoryBus
from shared.contracts.topics import Topic
from shared.models.packages import Packages
from tests.models import manifest_of, onnx_bytes, registered
from tests.unit.local.test_backup import files_in, made, memory_bus, restored

KEYS = b'{"keys": []}'


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A home with API keys and nothing else."""
    home = tmp_path / "source"
    home.mkdir()
    (home / "keys.json").write_bytes(KEYS)
    return home


@pytest.fixture
def file(source: Path, tmp_path: Path) -> Path:
    made(memory_bus(), source, tmp_path / "backup.tar", keys_file=source / "keys.json")
    return tmp_path / "backup.tar"


def forged(file: Path, to: Path, name: str, content: bytes) -> Path:
    """Write a backup that holds one file more, with every digest as it should be."""
    with tarfile.open(file) as tar:
        members = {member: tar.extractfile(member).read() for member in tar.getnames()}  # type: ignore[union-attr]
    contents = msgspec.json.decode(members.pop(CONTENTS_NAME), type=Contents)
    del members[DIGEST_NAME]
    added = CarriedFile(name, len(content), hashlib.sha256(content).hexdigest())
    listed = msgspec.json.encode(msgspec.structs.replace(contents, files=[*contents.files, added]))
    digest = hashlib.sha256(listed).hexdigest().encode()
    with tarfile.open(to, "w") as tar:
        for each, held in (members | {name: content, CONTENTS_NAME: listed, DIGEST_NAME: digest}).items():
            described = tarfile.TarInfo(each)
            described.size = len(held)
            tar.addfile(described, io.BytesIO(held))
    return to


@pytest.mark.parametrize(
    "name",
    ["mlflow-artifacts/../../evil.txt", "/evil.txt", "mlflow-artifacts\\..\\evil.txt", "mlflow-artifacts/./evil.txt"],
)
def test_a_file_that_leads_out_of_the_home_is_refused(name: str, file: Path, tmp_path: Path) -> None:
    bad = forged(file, tmp_path / "forged.tar", name, b"evil")
    good = forged(file, tmp_path / "good.tar", "mlflow-artifacts/1/..hidden", b"harmless")
    with pytest.raises(BackupError, match="leads out of it"):
        restored(memory_bus(), tmp_path / "deep" / "target", bad)
    assert not (tmp_path / "deep").exists()
    assert not list(tmp_path.rglob("*evil*"))
    restored(memory_bus(), tmp_path / "deep" / "target", good)


def test_a_file_that_could_not_be_restored_is_told_when_it_is_backed_up(source: Path, tmp_path: Path) -> None:
    (source / "mlflow.db").touch()
    (source / "mlflow-artifacts").mkdir()
    (source / "mlflow-artifacts" / "a\\b").touch()
    with pytest.raises(BackupError, match="rename or remove"):
        made(memory_bus(), source, tmp_path / "refused.tar")
    assert files_in(tmp_path) == files_in(source)


def test_a_model_whose_name_is_a_path_is_refused(source: Path, tmp_path: Path) -> None:
    bus, manifest = memory_bus(), msgspec.structs.replace(manifest_of(1), model_name="fraud/deeper")
    Packages(source / MODELS_FOLDER).add(manifest, onnx_bytes())
    ModelLog(bus).append(lambda _: [registered(manifest)])
    made(bus, source, tmp_path / "backup.tar")
    with pytest.raises(BackupError, match="model 'fraud/deeper'"):
        restored(memory_bus(), tmp_path / "target", tmp_path / "backup.tar")
    assert not (tmp_path / "target").exists()


def test_keys_that_are_here_already_are_accepted_where_they_are_the_same(file: Path, tmp_path: Path) -> None:
    home, keys = tmp_path / "target", tmp_path / "target" / "keys.json"
    home.mkdir()
    keys.write_bytes(KEYS)
    before = keys.stat()
    restored(memory_bus(), home, file)
    assert keys.stat() == before  # a mounted Secret cannot be written to


def test_other_keys_stay_and_nothing_is_restored_beside_them_unless_asked_for(file: Path, tmp_path: Path) -> None:
    home, keys, bus = tmp_path / "target", tmp_path / "target" / "keys.json", memory_bus()
    home.mkdir()
    keys.write_text("others")
    with pytest.raises(BackupError, match=r"other API keys in .*keys.json, which --without-keys leaves in force"):
        restored(bus, home, file)
    assert files_in(home) == [keys]
    restore(bus, home, file, local_runs=True, keys_file=None, say=lambda _: None)
    assert keys.read_text() == "others"


def test_keys_made_while_a_restore_was_interrupted_are_not_replaced(file: Path, tmp_path: Path) -> None:
    class Away(MemoryBus):
        def sole_writer(self, topic: str) -> SoleWriter:  # type: ignore[override]
            raise BusUnavailableError(f"no way to {topic}")

    home = tmp_path / "target"
    with pytest.raises(BusUnavailableError):
        restored(Away(partitions=1), home, file)
    assert (home / MARK_NAME).exists()
    (home / "keys.json").write_text("others")
    with pytest.raises(BackupError, match="other API keys"):
        restored(memory_bus(), home, file)
    assert (home / "keys.json").read_text() == "others"


def test_not_even_a_topic_is_made_where_the_home_is_not_empty(file: Path, tmp_path: Path) -> None:
    class Watched(MemoryBus):
        made: tuple[Topic, ...] = ()

        def create_topics(self, topics: Iterable[Topic]) -> None:
            self.made = tuple(topics)
            super().create_topics(self.made)

    home, bus = tmp_path / "target", Watched(partitions=1)
    Packages(home / MODELS_FOLDER).add(manifest_of(1), onnx_bytes())
    with pytest.raises(BackupError, match="nothing was written"):
        restored(bus, home, file)
    assert bus.made == ()


def test_a_disk_without_hard_links_takes_a_backup_too(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such a disk cannot be had in a test: only its answer."""

    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    file = tmp_path / "backups" / "backup.tar"
    file.parent.mkdir()
    made(memory_bus(), source, file)
    assert file.stat().st_mode & 0o077 == 0
    restored(memory_bus(), tmp_path / "target", file)
    assert list(file.parent.iterdir()) == [file]

    def came_meanwhile(*_: object) -> None:
        (file.parent / "other.tar").write_text("somebody else's")
        no_links()

    monkeypatch.setattr(os, "link", came_meanwhile)
    with pytest.raises(BackupError, match=r"other\.tar cannot be written"):
        made(memory_bus(), source, file.parent / "other.tar")
    assert (file.parent / "other.tar").read_text() == "somebody else's"
    assert len(list(file.parent.iterdir())) == 2


def test_a_folder_that_is_not_there_is_no_file_to_write(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(backup)
    refused = CliRunner().invoke(app, ["--to", f"{tmp_path}/backups/", "--home", str(tmp_path)])
    assert isinstance(refused.exception, BackupError)
    assert "there is no folder" in str(refused.exception)
    assert not list(tmp_path.iterdir())
