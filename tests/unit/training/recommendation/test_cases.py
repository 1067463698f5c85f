"""Held-out cases: what is foretold, from which history, and how ranks of a model as it serves come about."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from services.training.recommendation.cases import (
    SHOWN,
    Cases,
    Ranked,
    held_out_cases,
    held_out_since,
    histories_before,
    ranked,
)
from services.training.recommendation.interactions import Interactions
from services.training.recommendation.promotion import coverage, measured, paired_by_shopper
from shared.features.state import microseconds
from tests.events import START
from tests.unit.training.recommendation.shopping_scene import DAY, archived, read, touch, visits
from tests.unit.training.recommendation.test_batch import model
from tests.unit.training.recommendation.test_trust import paid


def told(data: Interactions, cases: Cases) -> list[tuple[str, str]]:
    """Return whose touch of what is to be foretold."""
    items = [data.item_ids[data.histories.items[event]] for event in cases.events]
    return [(data.user_ids[shopper], item) for shopper, item in zip(cases.shoppers, items, strict=True)]


def since(days: float) -> int:
    return microseconds(START + timedelta(days=days))


def test_a_case_is_the_first_touch_of_an_item_by_a_trusted_shopper(tmp_path: Path) -> None:
    archived(
        tmp_path,
        [
            touch("ada", "hat"),
            touch("ada", "hat", at=START + 10 * DAY),
            touch("ada", "shoe", at=START + 11 * DAY),
            touch("ada", "shoe", at=START + 12 * DAY),
            touch("eve", "coat", at=START + DAY),
        ],
    )
    paid(tmp_path, "eve")
    data = read(tmp_path)
    assert told(data, held_out_cases(data, since_us=since(0.5))) == [("ada", "shoe")]


def test_one_shopper_does_not_outweigh_the_others(tmp_path: Path) -> None:
    archived(tmp_path, [touch("ada", f"item-{at}", at=START + at * DAY / 100) for at in range(50)])
    data = read(tmp_path)
    assert [item for _, item in told(data, held_out_cases(data, since_us=since(0)))] == [
        f"item-{at}" for at in range(10)
    ]


def test_what_is_held_out_is_new_to_the_champion_and_leaves_the_newcomer_some_of_it(tmp_path: Path) -> None:
    archived(tmp_path, [touch("ada", f"item-{at}", at=START + at * DAY) for at in range(100)])
    data = read(tmp_path, now=START + 100 * DAY)
    day = 86_400_000_000
    assert held_out_since(data, None, fraction=0.2) == since(80)
    assert held_out_since(data, START + 30 * DAY, fraction=0.2) == since(80), "the later part is new to it anyway"
    assert held_out_since(data, START + 90 * DAY, fraction=0.2) == pytest.approx(since(95), abs=day)
    assert held_out_since(data, START + 99 * DAY, fraction=0.2) > since(99), "nothing is new to it"


def test_ranks_are_among_what_the_shopper_had_not_touched(tmp_path: Path) -> None:
    """The model of the batch: each item leads to the next one; a stranger has what is popular."""
    days = {"boot": 0, "coat": 1, "hat": 2, "gown": 3}
    archived(tmp_path, [touch("ada", name, at=START + at * DAY) for name, at in days.items()])
    data = read(tmp_path)
    cases = held_out_cases(data, since_us=since(0))
    assert [item for _, item in told(data, cases)] == ["boot", "coat", "hat", "gown"]
    found = ranked(model(), data, cases)
    assert found.ranks.tolist() == [1, 1, 1, SHOWN + 1], "the model knows no gown"
    names = [[data.item_ids[at] for at in row if at >= 0] for row in found.shown]
    assert "boot" not in names[1]
    alone = ranked(model(), data, cases, popularity_alone=True)
    assert alone.ranks.tolist() == [1, 1, 1, SHOWN + 1]


def test_a_model_sees_the_history_as_scoring_would_give_it(tmp_path: Path) -> None:
    archived(
        tmp_path,
        [
            touch("ada", "hat", kind="purchase"),
            touch("ada", "gown", at=START + DAY),
            touch("ada", "coat", at=START + 2 * DAY),
            touch("ada", "sock", at=START + 3 * DAY),
        ],
    )
    data = read(tmp_path)
    history = histories_before(model(), data, held_out_cases(data, since_us=since(2.5)))[0]
    assert [model().item_ids[at] for at in history.items] == ["coat", "hat"]
    assert history.weights.tolist() == [1.0, 4.0]


def of_ranks(*ranks: int) -> Ranked:
    places = np.array(ranks)
    return Ranked(places, np.where(np.arange(SHOWN) == places[:, np.newaxis] - 1, 0, -1))


def shoppers(count: int, cases_of_each: int = 1) -> Cases:
    owners = np.repeat(np.arange(count), cases_of_each)
    return Cases(np.arange(len(owners)), owners)


def test_figures_count_shoppers_alike() -> None:
    cases = Cases(np.arange(4), np.array([0, 0, 0, 1]))
    figures = measured(of_ranks(SHOWN + 1, SHOWN + 1, SHOWN + 1, 3), cases, items=10)
    assert figures["hit_rate_at_10"].value == 0.5
    assert figures["mrr_at_10"].value == pytest.approx((0 + 1 / 3) / 2)
    assert figures["ndcg_at_10"].value == pytest.approx((0 + 1 / 2) / 2)
    assert figures["coverage_at_10"].value == pytest.approx(0.1)
    assert figures["hit_rate_at_10"].low < 0.5 < figures["hit_rate_at_10"].high


def test_a_clear_lead_is_found_and_chance_is_not() -> None:
    random = np.random.default_rng(3)
    worse, better = of_ranks(*random.integers(5, 11, 200)), of_ranks(*random.integers(1, 6, 200))
    found = paired_by_shopper(worse, better, shoppers(200), error_rate=0.05)
    assert found.better
    assert found.lead > 0.2
    assert not paired_by_shopper(better, worse, shoppers(200), error_rate=0.05).better
    assert not paired_by_shopper(better, better, shoppers(200), error_rate=0.05).better


def test_equals_win_no_more_often_than_the_error_rate_says() -> None:
    """Cases of one shopper are alike, which a test over cases would take for evidence."""
    wins = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        one, other = (np.repeat(random.integers(1, 12, 30), 8) for _ in range(2))
        wins += paired_by_shopper(of_ranks(*one), of_ranks(*other), shoppers(30, 8), error_rate=0.05).better
    assert wins <= 20


def test_a_few_shoppers_prove_nothing() -> None:
    test = paired_by_shopper(of_ranks(*[11] * 10), of_ranks(*[1] * 10), shoppers(10), error_rate=0.05)
    assert (test.better, test.p_value) == (False, None)
    assert "at least 20 shoppers are needed" in test.explanation


def test_a_model_must_not_show_far_fewer_items_than_the_champion() -> None:
    def showing(items: int) -> Ranked:
        return Ranked(np.ones(items, dtype=np.int64), np.arange(items)[:, np.newaxis] * np.ones(SHOWN, dtype=np.int64))

    assert coverage(showing(80), showing(100), loss_max=0.2).passed
    refused = coverage(showing(79), showing(100), loss_max=0.2)
    assert not refused.passed
    assert "79 items" in refused.explanation


def test_too_many_cases_are_those_of_shoppers_drawn_at_random(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.training.recommendation.cases.CASES_MAX", 100)
    archived(tmp_path, visits())
    data = read(tmp_path)
    cases = held_out_cases(data, since_us=since(0))
    assert len(cases.events) == 100
    whole = [int((cases.shoppers == shopper).sum()) for shopper in np.unique(cases.shoppers)]
    assert len(whole) < 20
    assert np.all(np.diff(cases.events) > 0)
