"""A backup brings back models, policies, lists, runs and keys, or is refused before anything is written."""

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.local.backup.contents import CARRIED, BackupError, Contents
from services.local.backup.making import back_up
from services.local.backup.records import read_records
from services.local.backup.restoring import MARK_NAME, restore
from services.scoring.policy.kinds import PAYMENTS
from services.scoring.policy.publishing import Author, publication
from services.training.model_log import ModelLog
from shared.access.keys import change_keys, new_key, read_keys
from shared.access.roles import Role
from shared.bus.base import Bus, BusUnavailableError, Outgoing, SoleWriter
from shared.bus.chained_log import ChainedLog
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.events import ListEvent, ModelEvent, PolicyEvent
from shared.contracts.ids import new_event_id
from shared.contracts.topics import LISTS, MODELS, POLICIES, TOPICS
from shared.models.audit import examine
from shared.models.packages import Packages
from tests.events import START, TRACE_ID
from tests.model_events import model_event
from tests.models import local_registry, manifest_of, onnx_bytes, register, registered


def memory_bus() -> MemoryBus:
    bus = MemoryBus(partitions=2)
    bus.create_topics(TOPICS)
    return bus


def announce(bus: Bus, versions: list[ModelEvent]) -> None:
    """Announce two versions and put the first in force, publish a policy, and block a card."""
    promoted = model_event("promoted", 1, model_digest=versions[0].model_digest)
    ModelLog(bus).append(lambda _: [*versions, promoted])
    author = Author("ada", "a test", START)
    ChainedLog(bus, POLICIES, PolicyEvent).append(lambda past: [publication(past, "reasons_max: 1", author, PAYMENTS)])
    block(bus, "card-1")


def block(bus: Bus, card: str) -> None:
    event = ListEvent(
        event_id=new_event_id(START),
        occurred_at=START,
        trace_id=TRACE_ID,
        list_name="block",
        entity="card",
        value=card,
        action="added",
        actor="ada",
        reason="stolen",
    )
    publisher = bus.publisher()
    publisher.send(Outgoing(LISTS.name, LISTS.key_of(event).encode(), codec.encode(event))).result()
    publisher.close()


def made(bus: Bus, home: Path, to: Path, keys_file: Path | None = None) -> Contents:
    return back_up(bus, home, tracking_uri=None, to=to, now=START, keys_file=keys_file)


def restored(bus: Bus, home: Path, file: Path, say: Callable[[str], None] = lambda _: None) -> Contents:
    return restore(bus, home, file, local_runs=True, keys_file=home / "keys.json", say=say)


def values(bus: Bus) -> dict[str, list[bytes]]:
    return {topic.name: [record.value for record in read_records(bus, topic)] for topic in CARRIED}


def files_in(home: Path) -> list[Path]:
    return [path for path in home.rglob("*") if path.is_file()]


@pytest.fixture
def source(tmp_path: Path) -> MemoryBus:
    """Two versions as they are where MLflow is a server's."""
    bus, packages = memory_bus(), Packages(tmp_path / "source" / "models")
    manifests = [manifest_of(version) for version in (1, 2)]
    for manifest in manifests:
        packages.add(manifest, onnx_bytes())
    announce(bus, [registered(manifest) for manifest in manifests])
    return bus


@pytest.fixture
def tracked_source(tmp_path: Path) -> MemoryBus:
    """Two versions with their runs in MLflow's database on this machine."""
    bus, registry = memory_bus(), local_registry(tmp_path / "source")
    announce(bus, [registered(*register(registry)) for _ in range(2)])
    return bus


@pytest.fixture
def file(source: MemoryBus, tmp_path: Path) -> Path:
    made(source, tmp_path / "source", tmp_path / "backup.tar")
    return tmp_path / "backup.tar"


def test_everything_comes_back_where_there_was_nothing(source: MemoryBus, file: Path, tmp_path: Path) -> None:
    bus, home = memory_bus(), tmp_path / "target"
    contents = restored(bus, home, file)
    assert contents.in_force == {"fraud": 1}
    assert contents.absent == contents.problems == []
    assert values(bus) == values(source)
    audit = examine(values(bus)[MODELS.name], Packages(home / "models"), earlier_head=contents.heads[MODELS.name])
    assert (audit.whole, audit.absent, audit.problems) == (2, 0, ())
    assert not (home / MARK_NAME).exists()


def test_runs_come_back_with_their_files_where_they_lie_now(tracked_source: MemoryBus, tmp_path: Path) -> None:
    home, file = tmp_path / "target", tmp_path / "backup.tar"
    made(tracked_source, tmp_path / "source", file)
    restored(memory_bus(), home, file)
    (tmp_path / "source").rename(tmp_path / "gone")
    registry = local_registry(home)
    versions = registry.versions("fraud")
    assert [version.number for version in versions] == [1, 2]
    assert all(version.report.startswith((home / "mlflow-artifacts").as_uri()) for version in versions)
    manifest = Packages(home / "models").manifest("fraud", 1)
    (home / "models" / "fraud" / "1" / "model.onnx").unlink()
    loaded, _ = registry.load("fraud", 1, digest=manifest.model_digest)
    assert loaded == manifest
    assert register(registry)[0].model_version == 3


def test_keys_are_carried_when_asked_for_alone(source: MemoryBus, file: Path, tmp_path: Path) -> None:
    home = tmp_path / "source"
    key, _ = new_key("shop", frozenset({Role.SCORE}), rate_per_second=1, now=START)
    change_keys(home / "keys.json", lambda before: [*before, key])
    with_keys = tmp_path / "with_keys.tar"
    made(source, home, with_keys, keys_file=home / "keys.json")
    assert with_keys.stat().st_mode & 0o077 == 0
    restored(memory_bus(), tmp_path / "one", with_keys)
    assert read_keys(tmp_path / "one" / "keys.json") == [key]
    assert (tmp_path / "one" / "keys.json").stat().st_mode & 0o077 == 0
    restored(memory_bus(), tmp_path / "other", file)
    assert read_keys(tmp_path / "other" / "keys.json") is None


def test_a_backup_is_taken_while_more_is_announced(source: MemoryBus, tmp_path: Path) -> None:
    before = values(source)

    class Growing(MemoryBus):
        """Every topic grows as soon as it was read."""

        def tail(self, *arguments: Any, **named: Any) -> Any:
            tail = source.tail(*arguments, **named)
            ModelLog(source).append(lambda _: [model_event("withdrawn", 2)])
            block(source, "later")
            return tail

    made(Growing(partitions=2), tmp_path / "source", tmp_path / "during.tar")
    bus = memory_bus()
    restored(bus, tmp_path / "target", tmp_path / "during.tar")
    for name, carried in values(bus).items():
        assert carried[: len(before[name])] == before[name]
        assert carried == values(source)[name][: len(carried)]


def test_any_damage_is_refused_before_anything_is_written(file: Path, tmp_path: Path) -> None:
    with tarfile.open(file) as tar:
        places = {member.name: (member.offset_data, member.size) for member in tar}
    whole = file.read_bytes()
    bus, home = memory_bus(), tmp_path / "target"
    damaged = tmp_path / "damaged.tar"
    for name, (offset, size) in places.items():
        middle = offset + size // 2
        damaged.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        with pytest.raises(BackupError, match="damaged"):
            restored(bus, home, damaged)
        damaged.write_bytes(whole[:middle])
        with pytest.raises(BackupError, match=r"its end is missing|cannot be read"):
            restored(bus, home, damaged)
        assert not home.exists(), name
    damaged.write_text("no tar at all")
    with pytest.raises(BackupError, match="cannot be read"):
        restored(bus, home, damaged)
    assert values(bus) == {topic.name: [] for topic in CARRIED}


def test_a_platform_that_has_something_is_left_alone(tracked_source: MemoryBus, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    made(tracked_source, tmp_path / "source", file)
    restored(memory_bus(), tmp_path / "full", file)
    kept = {path: path.read_bytes() for path in files_in(tmp_path / "full")}
    with pytest.raises(BackupError, match=r"fraud 1 in .*, fraud 2 in .*mlflow.db.* nothing was written"):
        restored(memory_bus(), tmp_path / "full", file)
    assert {path: path.read_bytes() for path in files_in(tmp_path / "full")} == kept
    bus = memory_bus()
    block(bus, "card-9")
    with pytest.raises(BackupError, match="1 records on lists"):
        restored(bus, tmp_path / "target", file)
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("failing", [topic.name for topic in CARRIED])
def test_a_restore_that_was_interrupted_goes_on(
    failing: str, source: MemoryBus, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus, home = memory_bus(), tmp_path / "target"

    def away(self: MemoryBus, topic: str) -> SoleWriter:
        if topic == failing:
            raise BusUnavailableError("Kafka does not answer")
        return sole_writer(self, topic)

    sole_writer = MemoryBus.sole_writer
    with monkeypatch.context() as patched:
        patched.setattr(MemoryBus, "sole_writer", away)
        with pytest.raises(BusUnavailableError):
            restored(bus, home, file)
    assert (home / MARK_NAME).exists()
    carried = values(source)
    block(source, "card-2")
    made(source, tmp_path / "source", tmp_path / "later.tar")
    with pytest.raises(BackupError, match="another backup"):
        restored(bus, home, tmp_path / "later.tar")
    restored(bus, home, file)
    assert values(bus) == carried
    assert not (home / MARK_NAME).exists()


def test_a_version_in_force_must_be_whole_and_an_old_one_is_named(tracked_source: MemoryBus, tmp_path: Path) -> None:
    source, home = tracked_source, tmp_path / "source"
    for version in (1, 2):
        (home / "models" / "fraud" / str(version) / "model.onnx").unlink()
    shutil.rmtree(home / "mlflow-artifacts")
    with pytest.raises(BackupError, match="fraud 1, which is needed now, cannot be carried"):
        made(source, home, tmp_path / "refused.tar")
    assert not list(tmp_path.glob("*.tar"))
    (home / "models" / "fraud" / "1" / "model.onnx").write_bytes(onnx_bytes())
    contents = made(source, home, tmp_path / "backup.tar")
    assert [told.partition(":")[0] for told in contents.absent] == ["fraud 2"]


def test_a_backup_never_replaces_a_file(source: MemoryBus, file: Path, tmp_path: Path) -> None:
    before = file.read_bytes()
    with pytest.raises(BackupError, match="is there already"):
        made(source, tmp_path / "source", file)
    assert file.read_bytes() == before
