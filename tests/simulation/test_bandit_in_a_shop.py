"""The bandit in a simulated shop: it finds what is clicked, tells the truth about its chances, and changes its mind."""

import numpy as np
import pytest

from tests.simulation.bandit_world import KNOWN_ITEMS, Shop, World, regret, regret_of_chance, regret_of_model


@pytest.mark.parametrize("seed", [0, 1])
def test_regret_falls_far_below_that_of_chance_and_of_the_model(seed: int) -> None:
    shown = Shop(World(seed)).run(2_500, share=1.0)
    late = shown[-1_000:]
    assert regret(late) < 0.4 * regret_of_chance(late)
    assert regret(late) < 0.4 * regret_of_model(late)
    assert regret(late) < regret(shown[:200])


def test_each_item_is_shown_as_often_as_was_reported() -> None:
    shown = Shop(World(2)).run(3_000, share=0.5)
    for place in range(len(shown[0].propensities)):
        told = np.array([one.propensities[place] for one in shown])
        times = sum(one.chosen == place for one in shown)
        assert abs(times - told.sum()) < 4.5 * np.sqrt((told * (1 - told)).sum())


def test_another_policy_is_judged_from_the_log_as_it_would_have_fared() -> None:
    """Weighted by their propensities, the clicks tell what always showing the model's first would have brought."""
    shown = Shop(World(3)).run(3_000, share=0.5)
    weighted = np.array([one.is_clicked * (one.chosen == 0) / one.propensities[0] for one in shown])
    truth = np.mean([one.probabilities[0] for one in shown])
    assert abs(weighted.mean() - truth) < 4 * weighted.std() / np.sqrt(len(shown))


def test_after_a_change_of_taste_it_finds_out_what_is_clicked_now() -> None:
    world = World(1)
    shop = Shop(world)
    before = regret(shop.run(1_500, share=1.0)[-500:])
    world.change_taste()
    surprised = regret(shop.run(250, share=1.0))
    shop.run(2_000, share=1.0)
    after = regret(shop.run(500, share=1.0))
    assert surprised > 2 * before
    assert after < 0.4 * surprised


def test_new_items_are_clicked_only_where_somebody_explores() -> None:
    def clicks_on_new(share: float) -> int:
        shown = Shop(World(4, appeal_new=0.3)).run(1_500, share=share)
        return sum(one.is_clicked for one in shown if one.item >= KNOWN_ITEMS)

    assert clicks_on_new(0.0) == 0
    assert clicks_on_new(0.3) > 30
