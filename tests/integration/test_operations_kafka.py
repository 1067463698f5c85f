"""`headrace backup`, `restore` and `logs` on a real broker: the record verifies, decisions replay, a payment is found."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from services.cli.audit import audit
from services.cli.backup import backup, restore
from services.cli.logs import logs
from services.cli.replay_decision import replay_decision
from services.local.addresses import KAFKA_VARIABLE
from services.local.backup.contents import CARRIED, BackupError
from services.local.backup.making import back_up
from services.local.backup.records import read_records
from services.local.platform import Platform
from services.scoring.policy.kinds import PAYMENTS
from services.scoring.policy.publishing import Author, publication
from services.training.model_log import ModelLog
from shared.bus.base import Bus
from shared.bus.chained_log import ChainedLog
from shared.bus.memory import MemoryBus
from shared.contracts.events import PolicyEvent
from shared.contracts.topics import POLICIES, TOPICS
from shared.models.packages import Packages
from tests.events import START, payment
from tests.model_events import model_event
from tests.models import registered
from tests.unit.cli.test_replay_decision import Scene
from tests.unit.local.test_payment_trace import Way

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A broker on whose log nobody has announced anything."""
    with Platform(tmp_path_factory.mktemp("target"), services=[]) as running:
        running.start(lambda _: None)
        yield running


def headrace(platform: Platform, *words: str) -> Result:
    app = typer.Typer()
    for command in (backup, restore, replay_decision, logs):
        app.command()(command)
    app.add_typer(audit)
    arguments = [*words, "--home", str(platform.home)]
    return CliRunner().invoke(app, arguments, env={KAFKA_VARIABLE: str(platform.addresses.kafka)})


def values(bus: Bus) -> dict[str, list[bytes]]:
    return {topic.name: [record.value for record in read_records(bus, topic)] for topic in CARRIED}


def lived(home: Path) -> MemoryBus:
    """A platform whose first model has decided; its archive lies in `home`."""
    bus, scene = MemoryBus(partitions=2), Scene(home)
    bus.create_topics(TOPICS)
    model = scene.model(1, above=4_000)
    scene.roles = scene.roles._replace(champion=model)
    event = registered(Packages(home / "models").manifest("fraud", 1))
    promoted = model_event("promoted", 1, model_digest=event.model_digest)
    ModelLog(bus).append(lambda _: [event, promoted, *(model_event("refused", 0, name=str(at)) for at in range(30))])
    author = Author("ada", "a test", START)
    ChainedLog(bus, POLICIES, PolicyEvent).append(lambda past: [publication(past, "reasons_max: 1", author, PAYMENTS)])
    scene.decide([payment(f"payment-{at}", amount=1_000 * at) for at in range(10)])
    return bus


def test_a_platform_is_carried_to_another_broker(platform: Platform, tmp_path: Path) -> None:
    source, file = lived(tmp_path / "source"), tmp_path / "first.tar"
    keys = tmp_path / "source" / "keys.json"
    keys.write_text("those of the source")
    first = back_up(source, tmp_path / "source", tracking_uri=None, to=file, now=START, keys_file=keys)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert isinstance(headrace(platform, "restore", str(file)).exception, BackupError)
    file.write_bytes(whole)

    (platform.home / "keys.json").write_text("those of here")
    assert "--without-keys" in str(headrace(platform, "restore", str(file)).exception)
    done = headrace(platform, "restore", str(file), "--without-keys")
    assert done.exit_code == 0, done.output
    assert "fraud 1" in done.output
    assert (platform.home / "keys.json").read_text() == "those of here"
    bus = platform.bus()
    assert values(bus) == values(source)
    proof = next(line for line in done.output.splitlines() if "headrace audit verify" in line)
    assert f"--head {first.heads['models']} --policies-head {first.heads['policies']}" in proof
    verified = headrace(platform, *proof.partition("headrace ")[2].split())
    assert verified.exit_code == 0, verified.output
    assert verified.output.count("after the head given  0\n") == 2
    shutil.copytree(tmp_path / "source" / "archive", platform.home / "archive")
    replayed = headrace(platform, "replay-decision", "--sample", "10")
    assert "10 decisions replayed, 0 differ" in replayed.output, replayed.output

    again = headrace(platform, "restore", str(file))
    assert isinstance(again.exception, BackupError)
    assert "fraud 1 in" in str(again.exception)
    ModelLog(bus).append(lambda _: [model_event("archived", 1, model_digest=None)])
    taken = headrace(platform, "backup", "--to", str(tmp_path))
    assert taken.exit_code == 0, taken.output
    assert "33 on models" in taken.output
    assert len(list(tmp_path.glob("headrace-*.tar"))) == 1


def test_a_decision_leads_to_all_that_was_said_of_its_payment(platform: Platform) -> None:
    bus, way, other = platform.bus(), Way("order-4711"), Way("order-4712")
    bus.create_topics(TOPICS)
    with contextlib.closing(bus.publisher()) as publisher:
        for record in (*way.records, *other.records):
            publisher.send(record._replace(produced_ms=None)).result()
    shown = headrace(platform, "logs", way.decision.event_id)
    assert shown.exit_code == 0, shown.output
    told = " ".join(shown.stdout.split())
    places = [
        told.find(words) for words in ("payment order-4711", "2 features", "decline, score 0.9700", "label fraud")
    ]
    assert -1 not in places
    assert places == sorted(places)
    assert "order-4712" not in told
