"""The recommender on the command line: trained here, looked at, rolled out to a share, and asked for everyone."""

from pathlib import Path

import polars as pl
import pytest
import typer
from typer.testing import CliRunner, Result

from services.cli import models, recommend, releases, train
from services.training.model_log import ModelLog
from services.training.refusal import RefusedError
from shared.bus.memory import MemoryBus
from shared.contracts import codec
from shared.contracts.events import RetrainingRequest
from shared.contracts.topics import RETRAINING, TOPICS
from tests.models import local_registry
from tests.unit.training.recommendation.shopping_scene import archived, visits

OF_RECOMMENDATION = ["--model", "recommendation"]


class Scene:
    """A home with an archive of a shop, and a log in memory."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.bus = MemoryBus(partitions=1)
        self.bus.create_topics(TOPICS)
        self.app = typer.Typer()
        self.app.add_typer(models.models, name="models")
        self.app.command()(train.train)
        self.app.command()(recommend.recommend)

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(self.app, [*words, "--home", str(self.home)])

    def done(self, *words: str) -> str:
        result = self.run(*words)
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene(tmp_path)
    for module in (models, releases, train, recommend):
        monkeypatch.setattr(module, "open_bus", lambda _: made.bus)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name, value in (("INTERACTIONS_MIN", 100), ("SHOPPERS_MIN", 20)):
        monkeypatch.setenv(f"HEADRACE_TRAINING_{name}", str(value))
    return made


def test_a_recommender_is_trained_here_shown_and_asked_for_everyone(scene: Scene) -> None:
    local_registry(scene.home)
    archived(scene.home, visits())
    trained = scene.done("train", *OF_RECOMMENDATION, "--here", "--seconds", "1")
    assert "promoted recommendation 1" in trained
    listed = scene.done("models", "list", *OF_RECOMMENDATION)
    assert "ndcg at 10" in listed
    assert "in force" in listed
    assert "no model registered yet" in scene.done("models", "list"), "of fraud there is none"
    shown = scene.done("models", "show", "1", *OF_RECOMMENDATION)
    assert "on 960 interactions" in shown
    assert "hit_rate_at_10" in shown
    out = scene.home / "everyone.parquet"
    assert "for 80 shoppers by version 1" in scene.done("recommend", "--out", str(out), "--n", "5")
    rows = pl.read_parquet(out)
    assert rows.group_by("user_id").len()["len"].to_list() == [5] * 80
    assert rows["reason_item_id"].null_count() < len(rows) / 2


def test_some_shoppers_can_be_named_in_a_file(scene: Scene) -> None:
    local_registry(scene.home)
    archived(scene.home, visits())
    scene.done("train", *OF_RECOMMENDATION, "--here", "--seconds", "1")
    named = scene.home / "users.txt"
    named.write_text("shopper-003\nnobody\n\nshopper-003\n")
    out = scene.home / "some.parquet"
    scene.done("recommend", "--out", str(out), "--n", "3", "--users", str(named))
    assert pl.read_parquet(out)["user_id"].unique().sort().to_list() == ["nobody", "shopper-003"]
    done = scene.run("models", "canary", "1", "--share", "0.1", "--reason", "a test", *OF_RECOMMENDATION)
    assert "it decides already" in str(done.exception)


def test_without_a_recommender_it_says_how_to_get_one(scene: Scene) -> None:
    refused = scene.run("recommend", "--out", str(scene.home / "everyone.parquet"))
    assert isinstance(refused.exception, RefusedError)
    assert "headrace train --model recommendation" in str(refused.exception)


def test_training_is_asked_of_the_service_for_the_model_that_is_named(scene: Scene) -> None:
    scene.done("train", *OF_RECOMMENDATION, "--reason", "new tastes")
    scene.done("train")
    records = scene.bus.tail([RETRAINING.name], start="oldest").poll(wait_seconds=1)
    requests = [codec.decode(RetrainingRequest, record.value or b"") for record in records]
    assert [request.model_name for request in requests] == ["recommendation", "fraud"]
    assert requests[0].reason == "new tastes"


def test_what_is_of_the_other_model_is_refused(scene: Scene) -> None:
    refused = scene.run("train", *OF_RECOMMENDATION, "--here", "--families", "logistic_l2")
    assert refused.exit_code == 2
    assert not ModelLog(scene.bus).history().events
