"""`headrace score` on the log in memory: what is decided by what, and what a person is told."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
import typer
from msgspec.structs import replace
from typer.testing import CliRunner, Result

from services.cli import score as command
from services.local.errors import PlatformError
from services.scoring.policy.kinds import PAYMENTS, Kind
from services.scoring.policy.publishing import Author, publication
from services.scoring.recommendations.policy.policy import RECOMMENDATIONS
from services.training.refusal import RefusedError
from shared.bus.base import Outgoing
from shared.bus.chained_log import ChainedLog
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.events import PolicyEvent
from shared.contracts.topics import FEATURES, LISTS, POLICIES, TOPICS
from shared.models.packages import Packages
from tests.events import START
from tests.unit.scoring.file_scene import BLOCKED, Row, payment_of, payments, suspicious_by_everything, written
from tests.unit.scoring.scoring_scene import announce
from tests.unit.training.training_scene import archive, delivered, vector

ROWS = payments(120, days=9)
TRUSTED = "thresholds: {review: 1.5, decline: 1.6}"
"""A policy under which no score is high enough."""

app = typer.Typer()
app.command()(command.score)


class Scene:
    """A home with two versions, of which the first is in force, and a log."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.bus = MemoryBus(partitions=1)
        self.bus.create_topics(TOPICS)
        for version in (1, 2):
            manifest = suspicious_by_everything(Packages(home / "models"), version)
            announce(self.bus, "registered", manifest)
            if version == 1:
                announce(self.bus, "promoted", manifest)

    def run(self, rows: Sequence[Row], *options: str, out: str = "out.parquet") -> Result:
        file = written(self.home / "in.csv", rows)
        words = [str(file), "--out", str(self.home / out), "--home", str(self.home), *options]
        return CliRunner().invoke(app, words)

    def decided(self, rows: Sequence[Row], *options: str) -> list[dict[str, Any]]:
        result = self.run(rows, *options)
        assert result.exit_code == 0, result.output
        return pl.read_parquet(self.home / "out.parquet").to_dicts()

    def publish(self, text: str, kind: Kind[Any] = PAYMENTS) -> None:
        author = Author("ada", "a test", START)
        ChainedLog(self.bus, POLICIES, PolicyEvent).append(lambda history: [publication(history, text, author, kind)])


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene(tmp_path)
    monkeypatch.setattr(command, "open_bus", lambda _: made.bus)
    return made


def test_a_file_is_decided_by_the_version_in_force_and_the_summary_says_so(scene: Scene) -> None:
    result = scene.run(ROWS)
    assert result.exit_code == 0
    told = " ".join(result.output.split())
    assert "Decided 120 payments" in told
    assert "By model version 1 and policy version 0; the past is known from in.csv alone." in told
    rows = pl.read_parquet(scene.home / "out.parquet")
    assert rows["transaction_id"].to_list() == [row["transaction_id"] for row in ROWS]
    assert set(rows["model_version"]) == {1}
    assert not (scene.home / "in.csv.rejected.jsonl").exists()


def test_another_version_can_be_asked_for(scene: Scene) -> None:
    assert {row["model_version"] for row in scene.decided(ROWS, "--model", "2")} == {2}
    missing = scene.run(ROWS, "--model", "9").exception
    assert isinstance(missing, RefusedError)
    assert "no version 9" in str(missing)


def test_the_policy_and_the_lists_in_force_decide(scene: Scene) -> None:
    assert {row["decision"] for row in scene.decided(ROWS)} > {"approve"}
    scene.publish(TRUSTED)
    scene.publish("merchandising: {diversity: 0.2}", RECOMMENDATIONS)
    scene.bus.publisher().send(Outgoing(LISTS.name, BLOCKED.value.encode(), codec.encode(BLOCKED))).result()
    rows = scene.decided(ROWS)
    assert {row["policy_version"] for row in rows} == {1}
    declined = {row["transaction_id"] for row in rows if row["decision"] == "decline"}
    assert declined == {row["transaction_id"] for row in ROWS if row["card_id"] == BLOCKED.value}
    assert {row["decision"] for row in rows} == {"approve", "decline"}
    assert "cannot be used" not in scene.run(ROWS).output, "a policy for recommendations is no failed one for payments"


def test_what_is_refused_stands_beside_the_file_with_its_reason(scene: Scene) -> None:
    result = scene.run([ROWS[0], ROWS[1] | {"country": "Germany"}])
    assert result.exit_code == 0
    assert "Refused 1" in result.output
    (line,) = (scene.home / "in.csv.rejected.jsonl").read_bytes().splitlines()
    refusal = msgspec.json.decode(line)
    assert (refusal["row"], refusal["error"]["field"]) == (2, "country")
    assert scene.run([ROWS[1] | {"country": "Germany"}]).exit_code == 1


@pytest.mark.parametrize(
    ("options", "out", "told"),
    [
        ([], "out.xlsx", "unknown format"),
        (["--map", "card_id=CARD"], "out.csv", "no column 'CARD'"),
        ([], "in.csv", "another file"),
        ([], "away/out.csv", "No such file or directory"),
    ],
)
def test_what_cannot_work_is_told_in_one_line(scene: Scene, options: list[str], out: str, told: str) -> None:
    result = scene.run(ROWS, *options, out=out)
    assert result.exit_code == 1
    assert told in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_without_a_version_in_force_it_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bus = MemoryBus(partitions=1)
    bus.create_topics(TOPICS)
    monkeypatch.setattr(command, "open_bus", lambda _: bus)
    file = written(tmp_path / "in.csv", ROWS)
    result = CliRunner().invoke(app, [str(file), "--out", str(tmp_path / "out.csv"), "--home", str(tmp_path)])
    assert isinstance(result.exception, RefusedError)
    assert "--model VERSION" in str(result.exception)


def test_the_archive_tells_what_came_before(scene: Scene) -> None:
    whole = scene.decided(ROWS)
    assert isinstance(scene.run(ROWS, "--archive").exception, PlatformError)
    everything = [replace(vector(row["transaction_id"]), transaction=payment_of(row)) for row in ROWS]
    dated = [replace(each, occurred_at=each.transaction.occurred_at) for each in everything]
    archive(scene.home).write(delivered(FEATURES, dated))
    assert scene.decided(ROWS[80:]) != whole[80:]
    result = scene.run(ROWS[80:], "--archive")
    assert "the past is known from the archive." in " ".join(result.output.split())
    assert pl.read_parquet(scene.home / "out.parquet").to_dicts() == whole[80:]


def test_nothing_goes_to_the_platform(scene: Scene) -> None:
    before = {topic.name: len(_records(scene.bus, topic.name)) for topic in TOPICS}
    scene.decided(ROWS)
    assert {topic.name: len(_records(scene.bus, topic.name)) for topic in TOPICS} == before


def _records(bus: MemoryBus, topic: str) -> list[Any]:
    return bus.tail([topic], start="oldest").poll(wait_seconds=0)
