"""Results of experiments: counted as by hand, and intervals that hold what they promise on shoppers made up."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from services.training.recommendation.experiment_results import Group, compared, results, served_together
from tests.events import START

List = tuple[str, str, str, list[str]]


def lists(*shown: List) -> pl.DataFrame:
    """Return impressions of (id, user, arm, items)."""
    return pl.DataFrame(
        {
            "recommendation_id": [of[0] for of in shown],
            "user_id": [of[1] for of in shown],
            "occurred_at": [START] * len(shown),
            "experiment": ["wider"] * len(shown),
            "arm": [of[2] for of in shown],
            "model_version": [1] * len(shown),
            "item_ids": [of[3] for of in shown],
        }
    )


def interactions(*done: tuple[str, str, str]) -> pl.DataFrame:
    """Return interactions of (list, item, kind)."""
    schema = {"recommendation_id": pl.String, "item_id": pl.String, "kind": pl.String}
    return pl.DataFrame(list(done), schema=schema, orient="row")


def figures(group: Group) -> tuple[str, int, int, int, int]:
    return group.name, group.users, group.impressions, group.clicked.lists, group.bought.lists


def test_a_list_counts_once_and_only_for_the_items_it_showed() -> None:
    shown = lists(
        ("r1", "ada", "control", ["a", "b"]),
        ("r1", "ada", "control", ["a", "b"]),
        ("r2", "ada", "control", ["a"]),
        ("r3", "ben", "wide", ["a", "c"]),
        ("r4", "cem", "wide", ["c"]),
        ("r5", "dan", "control", []),
    )
    done = interactions(
        ("r1", "a", "view"),
        ("r1", "b", "cart"),
        ("r2", "b", "view"),
        ("r3", "a", "purchase"),
        ("r3", "c", "dislike"),
        ("r4", "c", "dislike"),
        ("another", "a", "purchase"),
    )
    found = results(shown, done, by="arm", first="control")
    assert [figures(group) for group in found.groups] == [("control", 2, 3, 1, 0), ("wide", 2, 2, 1, 1)]
    control, wide = found.groups
    assert control.clicked.rate.value == pytest.approx(1 / 3)
    assert control.clicked.difference is None
    assert wide.clicked.difference is not None
    assert wide.clicked.difference.figure.value == pytest.approx(1 / 2 - 1 / 3)
    assert found.crossed == 0


def test_who_was_in_two_groups_is_in_none_and_counted() -> None:
    shown = lists(("r1", "ada", "control", ["a"]), ("r2", "ada", "wide", ["a"]), ("r3", "ben", "wide", ["a"]))
    found = results(shown, interactions(), by="arm", first="control")
    assert ([figures(group) for group in found.groups], found.crossed) == ([("wide", 1, 1, 0, 0)], 1)
    assert np.isnan(found.groups[0].clicked.rate.low), "one shopper alone tells nothing of how they differ"


def test_where_nobody_clicked_the_interval_still_leaves_room() -> None:
    shown = lists(*((f"r{at}", f"user-{at}", "control", ["a"]) for at in range(50)))
    clicked = results(shown, interactions(), by="arm").groups[0].clicked
    assert (clicked.rate.value, clicked.rate.low) == (0.0, 0.0)
    assert 0.05 < clicked.rate.high < 0.1


def made_up(random: np.random.Generator, shoppers: int, lift: float) -> pl.DataFrame:
    """Return shoppers who differ: how often they come, and how likely they click, 10 % of the lists on average.

    Of two arms, the second's shoppers click `lift` more often.
    """
    lists = random.geometric(0.2, shoppers)
    is_second = np.arange(shoppers) % 2 == 1
    clicked = random.binomial(lists, random.beta(0.5, 4.5, shoppers) + lift * is_second)
    group = np.where(is_second, "second", "first")
    return pl.DataFrame({"group": group, "lists": lists, "clicked": clicked, "bought": clicked // 2})


def test_intervals_hold_the_truth_as_often_as_they_say_though_shoppers_differ() -> None:
    random, lift, rounds = np.random.default_rng(5), 0.02, 300
    rates, differences, too_narrow, false_alarms = 0, 0, 0, 0
    for _ in range(rounds):
        first, second = compared(made_up(random, 600, lift))
        rates += first.clicked.rate.low <= 0.1 <= first.clicked.rate.high
        difference = second.clicked.difference
        assert difference is not None
        differences += difference.figure.low <= lift <= difference.figure.high
        rate = first.clicked.rate.value
        half = 1.96 * (rate * (1 - rate) / first.impressions) ** 0.5
        too_narrow += abs(rate - 0.1) <= half
        _, same = compared(made_up(random, 600, 0.0))
        assert same.clicked.difference is not None
        false_alarms += same.clicked.difference.p_value < 0.05
    # Of 300 rounds, 95 % give or take three standard deviations.
    assert 0.91 <= rates / rounds <= 0.99
    assert 0.91 <= differences / rounds <= 0.99
    assert false_alarms / rounds <= 0.09
    assert too_narrow / rounds < 0.9, "lists of one shopper are alike; taking them for independent is too sure"


def test_two_models_are_held_against_each_other_only_while_both_answered() -> None:
    hours = [0, 1, 2, 3, 4, 5, 6]
    versions = [1, 2, 3, 2, 3, 2, 3]
    shown = lists(*((f"r{hour}", f"user-{hour}", "control", ["a"]) for hour in hours)).with_columns(
        pl.Series("model_version", versions),
        pl.Series("occurred_at", [START + timedelta(hours=hour) for hour in hours]),
    )
    assert served_together(shown)["recommendation_id"].sort().to_list() == ["r2", "r3", "r4", "r5"]
    assert served_together(shown.filter(pl.col("model_version") == 1)).is_empty()
    found = results(served_together(shown), interactions(("r3", "a", "view")), by="model_version")
    assert [figures(group) for group in found.groups] == [("2", 2, 2, 1, 0), ("3", 2, 2, 0, 0)]
