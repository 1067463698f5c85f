"""`headrace policy` on the log in memory and a real archive: what a person sees, and what is announced."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from services.cli import policy as command
from services.scoring.policy.document import PolicyError
from services.scoring.policy.publishing import audited
from services.training.evaluation.policy import Costs, choose_thresholds
from services.training.evaluation.scored import Scored
from services.training.model_log import ModelLog
from services.training.refusal import RefusedError
from shared.bus.chained_log import ChainedLog
from shared.bus.memory import MemoryBus
from shared.contracts.events import PolicyEvent
from shared.contracts.topics import POLICIES, TOPICS
from shared.models.packages import Packages
from tests.model_events import model_event
from tests.models import manifest_of
from tests.unit.cli.past_decisions import COUNT, Past, Rule, past, table

RULES: list[Rule] = [
    ("busy", lambda of: of.values[COUNT] > 6, "review"),
    ("cash", lambda of: of.transaction.channel == "atm" and of.transaction.amount > 40_000, "decline"),
    ("trusted", lambda of: of.transaction.card_id == "card-3", "approve"),
    ("never", lambda of: of.transaction.amount < 0, "decline"),
]
POLICY = """
rules:
- {code: busy, when: card_count_10m > 6, action: review, reason: busy}
- {code: cash, when: channel == "atm" && amount > 40000, action: decline, reason: cash}
- {code: trusted, when: card_id == "card-3", action: approve, reason: trusted}
- {code: never, when: int(amount) / 0 > 1, action: decline, reason: never}
"""
COSTS = Costs(
    review_minor_units=300,
    chargeback_minor_units=1_500,
    declined_genuine_minor_units=1_000,
    declined_genuine_share=0.1,
)
AIM = """# chosen by cost
thresholds:
  costs: {review_minor_units: 300, chargeback_minor_units: 1500, declined_genuine_minor_units: 1000,
          declined_genuine_share: 0.1}
"""


class Scene:
    """A home with an archive, and a log."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.bus = MemoryBus(partitions=1)
        self.bus.create_topics(TOPICS)

    def run(self, *words: str, text: str | None = None) -> Result:
        """Run a command; `text` is what stands in the FILE that it names."""
        if text is not None:
            (self.home / "policy.yaml").write_text(text)
        told = [str(self.home / "policy.yaml") if word == "FILE" else word for word in words]
        at_home = [] if words[0] == "check" else ["--home", str(self.home)]
        return CliRunner().invoke(command.policy, [*told, *at_home], terminal_width=200, env={"COLUMNS": "200"})

    def log(self) -> ChainedLog[PolicyEvent]:
        return ChainedLog(self.bus, POLICIES, PolicyEvent)

    def promote(self) -> None:
        ModelLog(self.bus).append(lambda _: [model_event("promoted", 1)])


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene(tmp_path)
    monkeypatch.setattr(command, "open_bus", lambda _: made.bus)
    return made


@pytest.fixture
def world(scene: Scene) -> Past:
    made = past()
    made.write(scene.home)
    return made


def figures(result: Result) -> dict[str, list[str]]:
    """Return the cells of every row that the backtest printed, by the row's name."""
    assert result.exit_code == 0, result.exception
    rows = [line.split("  ") for line in result.stdout.splitlines() if "  " in line]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    return {row[0]: row[1:] for row in cells}


def test_a_backtest_gives_the_figures_of_a_slow_count(scene: Scene, world: Past) -> None:
    shown = figures(scene.run("backtest", "FILE", text="thresholds: {review: 0.3, decline: 0.7}" + POLICY))
    matured = world.matured()
    frauds, days = sum(is_fraud for *_, is_fraud in matured), len(world.days)
    assert f"{len(matured)} payments from {world.days[0]} to {world.days[-1]}" in shown
    expected = table(matured, (0.3, 0.7), RULES)
    assert {"busy", "cash", "trusted", "review, now", "decline, now", "approve, then", "review, then"} <= set(expected)
    for name, (payments, fraud, fraud_money, genuine_money) in expected.items():
        row = [
            f"{payments:,}",
            f"{payments / days:,.1f}",
            f"{fraud / payments:.1%}",
            f"{fraud / frauds:.1%}",
            f"{fraud_money:,}",
            f"{genuine_money:,}",
        ]
        assert shown[name][: len(row)] == row, name
    assert shown["never"][0] == "0"
    assert shown["never"][-1] == f"{len(matured):,}"


def test_a_backtest_without_thresholds_takes_those_that_came_with_the_model(scene: Scene, world: Past) -> None:
    Packages(scene.home / "models").add(manifest_of(1, b"never run here"), b"never run here")
    shown = figures(scene.run("backtest", "FILE", text="{}"))
    for verdict in ("approve", "review", "decline"):
        assert shown[f"{verdict}, now"] == shown[f"{verdict}, then"]


def test_a_backtest_can_be_limited_to_the_newest_days(scene: Scene, world: Past) -> None:
    shown = scene.run("backtest", "FILE", "--days", "2", text="thresholds: {review: 0.3, decline: 0.7}")
    assert f"payments from {world.days[-2]} to {world.days[-1]}" in shown.stdout


def test_without_matured_payments_a_backtest_says_so(scene: Scene) -> None:
    refused = scene.run("backtest", "FILE", text="thresholds: {review: 0.3, decline: 0.7}")
    assert isinstance(refused.exception, RefusedError)
    assert "HEADRACE_TRAINING_LABEL_DELAY_DAYS" in str(refused.exception)


@pytest.mark.parametrize("reviews_a_day", [None, 4])
def test_an_aim_is_published_with_the_thresholds_that_reach_it(
    scene: Scene, world: Past, reviews_a_day: int | None
) -> None:
    scene.promote()
    text = AIM + ("" if reviews_a_day is None else f"  reviews_a_day: {reviews_a_day}\n")
    done = scene.run("publish", "FILE", "--reason", "less to review", "--by", "ada", text=text)
    assert done.exit_code == 0, done.exception
    rows = [(of, was, is_fraud) for of, was, is_fraud in world.matured() if was.score is not None]
    expected = choose_thresholds(
        Scored(
            frauds=np.array([is_fraud for *_, is_fraud in rows], dtype=np.int8),
            scores=np.array([was.score for _, was, _ in rows], dtype=np.float32),
            cards=np.zeros(len(rows), dtype=np.int64),
            times=np.array([int(was.occurred_at.timestamp() * 1e6) for _, was, _ in rows]),
            amounts=np.array([of.transaction.amount for of, *_ in rows]),
        ),
        COSTS,
        reviews_a_day_max=reviews_a_day,
    )
    published = command.published(scene.home, 1)
    assert published.document.numbers == expected
    found = published.document.resolved
    assert found is not None
    assert (found.payments, found.model_version) == (len(rows), 1)
    assert (found.since, found.until) == (world.days[0], world.days[-1])
    shown = scene.run("show").stdout
    assert shown.startswith(text)
    assert f"review from {expected.review:.4g}" in done.stdout
    again = scene.run("publish", "FILE", "--reason", "as shown", text=shown)
    assert "resolved" in str(again.exception)


def test_an_aim_that_nothing_tells_is_refused(scene: Scene, world: Past) -> None:
    assert "no model is in force" in str(scene.run("publish", "FILE", "--reason", "x", text=AIM).exception)
    scene.promote()
    within_braces = "{thresholds: {reviews_a_day: 3}}"
    assert "lines of" in str(scene.run("publish", "FILE", "--reason", "x", text=within_braces).exception)
    assert scene.log().chain().events == ()


def test_without_frauds_an_aim_has_no_thresholds(scene: Scene) -> None:
    Past(past().decisions, []).write(scene.home)
    scene.promote()
    refused = scene.run("publish", "FILE", "--reason", "x", text="thresholds:\n  reviews_a_day: 1\n")
    assert "0 of the" in str(refused.exception)
    assert scene.log().chain().events == ()


def test_versions_are_published_shown_listed_and_rolled_back(scene: Scene) -> None:
    first, second = "reasons_max: 1\n", "reasons_max: 2 # more\n"
    assert "no policy published yet" in scene.run("history").stdout
    assert scene.run("publish", "FILE", "--reason", "the first", "--by", "ada", text=first).exit_code == 0
    done = scene.run("publish", "FILE", "--reason", "the second", "--by", "ben", text=second)
    digest = hashlib.sha256(second.encode()).hexdigest()
    assert f"policy version 2 is in force from now on; digest {digest}" in done.stdout
    assert scene.run("show").stdout == second
    assert scene.run("show", "1").stdout == first
    assert scene.run("rollback", "--by", "ada").exit_code == 0
    assert scene.run("show").stdout == first
    assert scene.run("rollback", "--to", "2", "--reason", "better after all").exit_code == 0
    listed = [line.split() for line in scene.run("history").stdout.splitlines()[1:]]
    assert [(row[0], row[3]) for row in listed][-3:] == [("3", "ada"), ("2", "ben"), ("1", "ada")]
    assert listed[0][0] == "4*"
    assert audited([record.value for record in scene.log().records()]).problems == ()
    assert command.published(scene.home, 4).document.reasons_max == 2


def test_check_shows_what_a_policy_does(scene: Scene) -> None:
    shown = scene.run("check", "FILE", text=AIM + "lists: []\nexplain: [decline]" + POLICY).stdout
    for told in ("lowest cost at review_minor_units 300", "none", "decline; at most 3", "card_count_10m > 6", "can be"):
        assert told in shown


@pytest.mark.parametrize(
    "command_words", [("check", "FILE"), ("backtest", "FILE"), ("publish", "FILE", "--reason", "x")]
)
def test_a_policy_with_a_mistake_is_refused_by_its_line(scene: Scene, command_words: tuple[str, ...]) -> None:
    refused = scene.run(*command_words, text="lists: []\nruls: []\n")
    assert isinstance(refused.exception, PolicyError)
    assert "did you mean `rules`" in str(refused.exception)
    assert scene.log().chain().events == ()


def test_an_unknown_version_is_refused_by_name(scene: Scene) -> None:
    assert "there is none yet" in str(scene.run("show", "3").exception)
    assert "no earlier policy" in str(scene.run("rollback").exception)


RECOMMENDATION = """
merchandising: {per_category_max: 3, filters: [{attribute: price, at_most: 90}]}
experiment:
  name: wider
  arms: [{name: diverse, share: 0.25, changes: {diversity: 0.4, per_category_max: null}}]
"""


def test_a_policy_for_recommendations_has_versions_of_its_own(scene: Scene) -> None:
    of = ("--for", "recommendation")
    assert "as the model ranks them" in scene.run("history", *of).stdout
    scene.run("publish", "FILE", "--reason", "payments", text="reasons_max: 1\n")
    done = scene.run("publish", "FILE", "--reason", "shop", "--by", "ada", *of, text=RECOMMENDATION)
    assert done.stdout.startswith("recommendation policy version 1 is in force"), done.exception
    assert scene.run("show", *of).stdout == RECOMMENDATION
    assert scene.run("show").stdout == "reasons_max: 1\n"
    assert scene.run("publish", "FILE", "--reason", "less", *of, text="{}").exit_code == 0
    assert scene.run("rollback", *of).exit_code == 0
    assert scene.run("show", *of).stdout == RECOMMENDATION
    listed = [line.split()[0] for line in scene.run("history", *of).stdout.splitlines()[1:]]
    assert listed == ["3*", "2", "1"]
    assert [event.policy_name for event in scene.log().chain().events].count("payments") == 1
    assert "no earlier policy" in str(scene.run("rollback").exception)


def test_check_shows_what_a_policy_for_recommendations_does(scene: Scene) -> None:
    shown = scene.run("check", "FILE", "--for", "recommendation", text=RECOMMENDATION)
    lines = [line.split() for line in shown.stdout.splitlines()]
    for told in (
        "per_category_max 3",
        "filters price up to 90",
        "exclude_bought yes",
        "control 75.0% nothing",
        "diverse 25.0% per_category_max no; diversity 0.4",
    ):
        assert told.split() in lines, shown.stdout
    assert "did you mean `rules`" in str(scene.run("check", "FILE", text="ruls: []").exception)
    refused = scene.run("check", "FILE", "--for", "recommendation", text="rules: []")
    assert isinstance(refused.exception, PolicyError)
