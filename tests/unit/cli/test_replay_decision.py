"""`headrace replay-decision`: a thousand archived decisions come out byte for byte, and "what if" tells what changes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from pathlib import Path

import msgspec
import polars as pl
import pytest
import typer
from typer.testing import CliRunner, Result

from services.cli.replay_decision import replay_decision
from services.local.simulation.simulator import Simulator, SimulatorConfig
from services.scoring.handlers import ScoringHandler
from services.scoring.model import ScoringModel
from services.scoring.policy.lists import Lists
from services.scoring.policy.policy import BEFORE_THE_FIRST
from services.scoring.roles import Canary, Roles
from services.scoring.scorer import Scorer
from services.training.archive import Archive
from services.training.refusal import RefusedError
from shared.bus.base import Outgoing, Record
from shared.contracts import codec
from shared.contracts.events import Decision, Event, FeatureVector, Transaction
from shared.contracts.topics import BY_NAME, TRANSACTIONS
from shared.features.catalog.fraud import FRAUD
from shared.models.packages import ModelIntegrityError, Packages
from shared.runtime.clock import ManualClock
from shared.runtime.loop import Delivery, Handler
from shared.store.memory import MemoryStore
from tests.events import START, payment
from tests.features import features_handler
from tests.unit.scoring.scoring_scene import model_file, register

PAYMENTS = 1_300
BATCH = 97


@dataclass
class Scene:
    """Payments that went through features and scoring into an archive."""

    home: Path
    roles: Roles[ScoringModel] = field(default_factory=Roles)
    store: MemoryStore = field(default_factory=lambda: MemoryStore(ManualClock(START)))
    decisions: list[Decision] = field(default_factory=list)
    offset: int = 0

    def __post_init__(self) -> None:
        scorer = Scorer(lambda: self.roles, lambda: BEFORE_THE_FIRST, fallback="review")
        lists = Lists()
        self.features = features_handler(store=self.store)
        self.scoring = ScoringHandler(scorer, lambda: lists, self.store, {}, ManualClock(START))
        self.archive = Archive(self.home / "archive", [FRAUD])

    def model(self, version: int, *, above: float) -> ScoringModel:
        packages = Packages(self.home / "models")
        manifest = register(packages, version, above=above)
        return ScoringModel(*packages.load(manifest.model_name, version, digest=manifest.model_digest))

    def decide(
        self, payments: Iterable[Transaction], *, lose: Callable[[FeatureVector], FeatureVector] | None = None
    ) -> None:
        paid = [Outgoing(TRANSACTIONS.name, p.card_id.encode(), codec.encode(p)) for p in payments]
        vectors = self._handled(self.features, paid)
        if lose is not None:
            events = [codec.decode(FeatureVector, vector.value) for vector in vectors]
            vectors = [v._replace(value=codec.encode(lose(e))) for v, e in zip(vectors, events, strict=True)]
        decided = self._handled(self.scoring, vectors)
        self.decisions += [codec.decode(Decision, record.value) for record in decided]
        self.archive.write(self._delivered(vectors))
        self.archive.write(self._delivered(decided))

    def run(self, *words: str) -> Result:
        app = typer.Typer()
        app.command()(replay_decision)
        return CliRunner().invoke(app, [*words, "--home", str(self.home)])

    def _handled(self, handler: Handler, records: list[Outgoing]) -> list[Outgoing]:
        return list(handler(self._delivered(records)))

    def _delivered(self, records: list[Outgoing]) -> list[Delivery]:
        delivered = []
        for topic, key, value, *_ in records:
            event: Event = codec.decode(BY_NAME[topic].event, value)
            produced_ms = int(event.occurred_at.timestamp() * 1000)
            delivered.append(Delivery(Record(topic, 0, self.offset, key, value, produced_ms), event))
            self.offset += 1
        return delivered


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_thousand_decisions_replay_without_one_difference(scene: Scene) -> None:
    world = (made.transaction for made in Simulator(SimulatorConfig(start=START)).payments())
    one, two = scene.model(1, above=4_000), scene.model(2, above=9_000)
    every_role = [Roles(), Roles(champion=one), Roles(champion=one, canary=Canary(two, 0.3)), Roles(champion=two)]
    batches = [list(islice(world, BATCH)) for _ in range(PAYMENTS // BATCH)]
    for at, batch in enumerate(batches):
        scene.roles = every_role[at * len(every_role) // len(batches)]
        scene.decide(batch)
    assert {decision.decision for decision in scene.decisions} == {"approve", "review", "decline"}
    assert {decision.model_role for decision in scene.decisions} == {"champion", "canary"}
    replayed = scene.run("--sample", "1000")
    assert replayed.exit_code == 0, replayed.output
    assert "1,000 decisions replayed, 0 differ" in replayed.output


def test_a_decision_made_without_features_replays(scene: Scene) -> None:
    scene.roles = Roles(champion=scene.model(1, above=4_000))
    scene.decide(
        [payment("one")], lose=lambda vector: msgspec.structs.replace(vector, values=[], degraded=["features"])
    )
    assert scene.decisions[0].degraded == ["features"]
    assert "0 differ" in scene.run(scene.decisions[0].event_id).output


def test_a_changed_record_is_found(scene: Scene) -> None:
    scene.roles = Roles(champion=scene.model(1, above=4_000))
    scene.decide([payment("one"), payment("two")])
    (file,) = (scene.home / "archive" / "scores").rglob("*.parquet")
    rows = pl.read_parquet(file, hive_partitioning=False)
    forged = [record.replace(b'"approve"', b'"decline"') for record in rows["record"]]
    rows.with_columns(pl.Series("record", forged)).write_parquet(file)
    result = scene.run("--sample", "2")
    assert result.exit_code == 1
    assert "2 differ" in result.output
    assert "decline" in result.output


def test_another_amount_is_scored_with_its_own_features(scene: Scene) -> None:
    scene.roles = Roles(champion=scene.model(1, above=50_000))
    scene.decide([payment(f"before-{at}", after=timedelta(hours=at), amount=1_000) for at in range(3)])
    scene.decide([payment("asked", after=timedelta(hours=4), amount=1_000)])
    asked = scene.decisions[-1]
    assert asked.decision == "approve"
    result = scene.run(asked.event_id, "--set", "amount=99000")
    lines = {line.split()[0]: line.split()[1:] for line in result.output.splitlines() if line.split()}
    assert lines["decision"][-2:] == ["approve", "decline"]
    # Of four payments, three of 1,000: the mean with this one is 25,500.
    assert lines["card_mean_amount_1d"] == ["1000", "25500"]


def test_a_feature_can_be_set_alone_and_another_model_asked(scene: Scene) -> None:
    scene.roles = Roles(champion=scene.model(1, above=50_000))
    scene.model(2, above=500)
    scene.decide([payment("asked", amount=1_000)])
    decision_id = scene.decisions[0].event_id
    other = scene.run(decision_id, "--model", "2")
    assert "approve" in other.output
    assert "decline" in other.output
    result = scene.run(decision_id, "--set", "card_count_1d=40")
    assert ["card_count_1d", "1", "40"] in [line.split() for line in result.output.splitlines()]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--set", "amount"], "not NAME=VALUE"),
        (["--set", "amount=ten"], "whole minor units"),
        (["--set", "card_id=c2"], "no feature card_id"),
        (["--set", "card_count_1d=many"], "takes a number"),
        (["--set", "country=Germany"], "is no payment"),
    ],
)
def test_a_change_that_cannot_be_is_told(scene: Scene, words: list[str], complaint: str) -> None:
    scene.roles = Roles(champion=scene.model(1, above=50_000))
    scene.decide([payment("asked")])
    result = scene.run(scene.decisions[0].event_id, *words)
    assert result.exit_code != 0
    assert complaint in f"{result.output} {result.exception}"


def test_what_is_not_there_is_named(scene: Scene) -> None:
    scene.roles = Roles(champion=scene.model(1, above=50_000))
    scene.decide([payment("asked")])
    decision = scene.decisions[0]
    other_id = decision.event_id[:-1] + ("0" if decision.event_id[-1] != "0" else "1")
    for decision_id, code in ((other_id, "unknown_decision"), ("7", "bad_id")):
        refused = scene.run(decision_id).exception
        assert isinstance(refused, RefusedError)
        assert refused.code == code
    model_file(scene.home, 1).write_bytes(b"another")
    assert isinstance(scene.run(decision.event_id).exception, ModelIntegrityError)
