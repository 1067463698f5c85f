"""What the bandit judges items by, column by column."""

import random

import pytest

from services.scoring.recommendations.arranging import Candidate
from services.scoring.recommendations.contexts import FEATURES, UNIT, Moment, contexts_of, interests
from services.scoring.recommendations.seen import OncePerDay
from services.scoring.recommendations.trials import Trials
from tests.unit.scoring.recommendations.catalogue_scene import item

CATALOGUE = {
    "boots": item("boots", categories=["shoes", "winter"]),
    "sandals": item("sandals", categories=["shoes"]),
    "coat": item("coat", categories=["coats", "winter"]),
    "novel": item("novel", categories=["books"]),
}
POOL = [Candidate("boots", 3.0), Candidate("unlisted", 2.0), Candidate("novel", 0.0), Candidate("coat", 1.0)]
POPULAR = {"boots": 0.5}
TRIED = {"": Trials(980, 99), "boots": Trials(180, 90), "unlisted": Trials(10_000, 0)}


def columns(pool: list[Candidate], **moment: object) -> dict[str, list[float]]:
    defaults: dict[str, object] = {"item_of": CATALOGUE.get, "knows": lambda item_id: item_id != "novel"}
    asked = Moment(**(defaults | moment))  # type: ignore[arg-type]
    rows = contexts_of(
        pool, asked, lambda item_id: POPULAR.get(item_id, 0.0), lambda item_id: TRIED.get(item_id, Trials())
    )
    return dict(zip(FEATURES, rows.T.tolist(), strict=True))


@pytest.fixture
def told() -> dict[str, list[float]]:
    return columns(POOL, interests=interests(["sandals", "boots", "coat", "gone"], CATALOGUE.get))


def near(*values: float) -> object:
    return pytest.approx(list(values), abs=UNIT)


def test_the_models_opinion_is_relative_to_the_pool_and_absent_for_items_it_does_not_know(
    told: dict[str, list[float]],
) -> None:
    assert told["constant"] == near(1, 1, 1, 1)
    assert told["score"] == near(1, 0.5, 0, 0)
    assert told["rank"] == near(1, 0.631, 0, 0.5)
    assert told["is_new"] == near(0, 0, 1, 0)


def test_affinity_is_the_share_of_recent_items_that_have_a_category_in_common(told: dict[str, list[float]]) -> None:
    assert told["affinity"] == near(2 / 3, 0, 0, 2 / 3)
    assert columns(POOL)["affinity"] == near(0, 0, 0, 0)


def test_click_shares_are_drawn_to_the_usual_one_and_trials_wear_novelty_off(told: dict[str, list[float]]) -> None:
    assert told["click_share"] == near((90 + 2) / 200 / 0.1 / 4, 2 / 10_020 / 0.1 / 4, 0.25, 0.25)
    assert told["unshown"] == near(181**-0.5, 0.01, 1, 1)
    assert told["popularity"] == near(0.5, 0, 0, 0)


def test_every_number_is_a_multiple_of_the_unit(told: dict[str, list[float]]) -> None:
    assert all((value / UNIT).is_integer() for column in told.values() for value in column)


def test_a_pool_of_equals_and_one_of_strangers_have_scores_too() -> None:
    assert columns([Candidate("boots", 1.0), Candidate("coat", 1.0)])["score"] == [1, 1]
    assert columns([Candidate("novel", 7.0)])["score"] == [0]


def test_interactions_are_new_once_a_day_while_their_day_is_kept() -> None:
    chance = random.Random(2)
    seen, oracle = OncePerDay(days_kept=3), set()
    for today in range(10):
        for _ in range(200):
            day, value = today - chance.randrange(4), chance.randrange(-60, 60)
            assert seen.is_new(day, value) == ((day, value) not in oracle)
            oracle.add((day, value))
            if chance.random() < 0.05:
                seen.settle(today)
