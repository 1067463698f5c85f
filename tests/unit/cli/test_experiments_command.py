"""`headrace experiments` on a real archive: what a person reads there."""

from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from services.cli.experiments import experiments
from services.training.refusal import RefusedError
from shared.contracts.ids import derived_event_id
from shared.contracts.shopping import Impression, Interaction, ShownItem
from shared.contracts.topics import IMPRESSIONS, INTERACTIONS
from tests.events import START, TRACE_ID
from tests.unit.training.training_scene import archive, delivered

SHOPPERS = 40


def shown(number: int, arm: str, *, experiment: str = "wider", model_version: int = 1) -> Impression:
    occurred_at = START + timedelta(minutes=number)
    return Impression(
        event_id=derived_event_id(occurred_at, "impressions", experiment, str(number)),
        occurred_at=occurred_at,
        trace_id=TRACE_ID,
        recommendation_id=f"{experiment}-{number}",
        user_id=f"user-{number % SHOPPERS}",
        items=[ShownItem(item_id="a", score=1.0, propensity=1.0)],
        model_name="recommendation",
        model_version=model_version,
        policy_version=4,
        experiment=experiment,
        arm=arm,
    )


def clicked(impression: Impression) -> Interaction:
    occurred_at = impression.occurred_at + timedelta(seconds=5)
    return Interaction(
        event_id=derived_event_id(occurred_at, "interactions", impression.recommendation_id),
        occurred_at=occurred_at,
        trace_id=TRACE_ID,
        user_id=impression.user_id,
        item_id="a",
        kind="purchase",
        recommendation_id=impression.recommendation_id,
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Of 200 lists half are an arm's, whose odd shoppers all click; model 2 answers every second shopper."""
    lists = [
        shown(at, "diverse" if at % 2 else "control", model_version=1 + (at % SHOPPERS >= SHOPPERS // 2))
        for at in range(200)
    ]
    lists.append(shown(0, "control", experiment="earlier"))
    there = archive(tmp_path)
    there.write(delivered(IMPRESSIONS, lists))
    there.write(delivered(IMPRESSIONS, lists)[:50])
    there.write(delivered(INTERACTIONS, [clicked(of) for of in lists[1:200:2]] + [clicked(lists[0])]))
    return tmp_path


def run(home: Path, *words: str) -> Result:
    return CliRunner().invoke(experiments, ["show", *words, "--home", str(home)], env={"COLUMNS": "200"})


def rows(result: Result) -> list[list[str]]:
    assert result.exit_code == 0, result.exception
    lines = [line.split("  ") for line in result.stdout.splitlines() if line[:1] in "cd12" and "%" in line]
    return [[cell.strip() for cell in line if cell.strip()] for line in lines]


def test_each_arm_is_shown_beside_the_control(home: Path) -> None:
    shown_there = run(home, "wider")
    found = rows(shown_there)
    assert "under policy version 4; " in " ".join(shown_there.stdout.split())
    assert [row[:5] for row in found] == [
        ["control", "20", "100", "1", "1.00%"],
        ["diverse", "20", "100", "100", "100.00%"],
    ] * 2
    assert [len(row) for row in found] == [6, 9, 6, 9]
    assert (found[1][6], found[1][8]) == ("+99.00%", "0.000")


def test_two_models_are_shown_side_by_side(home: Path) -> None:
    found = rows(run(home, "--by", "model"))
    assert [row[0] for row in found] == ["1", "2", "1", "2"]
    assert float(found[1][8]) > 0.5, "clicks do not depend on the model here"


def test_what_is_not_there_is_told_with_what_is(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    for words in ([], ["widre"]):
        refused = run(home, *words)
        assert isinstance(refused.exception, RefusedError)
        assert "in the archive: earlier, wider" in str(refused.exception)
    assert "`headrace models canary`" in str(run(home, "earlier", "--by", "model").exception)
    assert "start the training service" in str(run(tmp_path_factory.mktemp("empty"), "wider").exception)
