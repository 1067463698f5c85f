"""The simulated shop: the same for the same seed, valid by the contracts, and true to the law it states."""

import itertools
from collections import Counter, defaultdict
from datetime import datetime, timedelta

import numpy as np
import pytest

from services.local.simulation.shop_world import NOTHING, ShopConfig, draw_next_items, draw_shop, next_item_shares
from services.local.simulation.shoppers import Shoppers
from shared.contracts import codec
from shared.contracts.shopping import Interaction, Item, User

CONFIG = ShopConfig(seed=7, items=120, categories=6, shoppers=400)
WEEKS = 4


def streamed(shoppers: Shoppers, until: datetime) -> list[Interaction]:
    """Take what happened up to `until`, leaving the first interaction after it consumed."""
    return list(itertools.takewhile(lambda made: made.occurred_at < until, shoppers.interactions()))


def after(days: float) -> datetime:
    return CONFIG.start + timedelta(days=days)


@pytest.fixture(scope="module")
def four_weeks() -> list[Interaction]:
    return streamed(Shoppers(CONFIG), after(7 * WEEKS))


@pytest.fixture
def shoppers() -> Shoppers:
    """A shop that is a week old."""
    shoppers = Shoppers(CONFIG)
    streamed(shoppers, after(7))
    return shoppers


def test_the_same_seed_gives_the_same_bytes_and_another_seed_shares_none(four_weeks: list[Interaction]) -> None:
    again = streamed(Shoppers(CONFIG), after(7))
    assert [codec.encode(made) for made in again] == [codec.encode(made) for made in four_weeks[: len(again)]]
    other = streamed(Shoppers(ShopConfig(seed=8, items=120, categories=6, shoppers=400)), after(7))
    assert not {made.event_id for made in again} & {made.event_id for made in other}


def test_what_happens_comes_in_order_of_time_valid_and_with_an_id_of_its_own(four_weeks: list[Interaction]) -> None:
    times = [made.occurred_at for made in four_weeks]
    assert times == sorted(times)
    assert times[0] >= CONFIG.start
    assert len({made.event_id for made in four_weeks}) == len(four_weeks) > 5_000
    assert all(codec.decode(Interaction, codec.encode(made)) == made for made in four_weeks[:500])


def test_items_and_users_are_valid_and_are_all_that_interactions_name(four_weeks: list[Interaction]) -> None:
    shoppers = Shoppers(CONFIG)
    items, users = shoppers.items(), shoppers.users()
    assert all(codec.decode(Item, codec.encode(item)) == item for item in items)
    assert all(codec.decode(User, codec.encode(user)) == user for user in users)
    assert {made.item_id for made in four_weeks} <= {item.item_id for item in items}
    assert {made.user_id for made in four_weeks} <= {user.user_id for user in users}
    collection = shoppers.items(collection=True)
    assert len(items) + len(collection) == CONFIG.items
    assert not {item.item_id for item in items} & {item.item_id for item in collection}


def test_an_item_is_looked_at_from_its_launch_on(four_weeks: list[Interaction]) -> None:
    launches = {item.item_id: item.available_from for item in Shoppers(CONFIG).items() if item.available_from}
    seen = [made for made in four_weeks if made.item_id in launches]
    assert len(launches) >= 5
    assert seen
    assert all(made.occurred_at >= launches[made.item_id] for made in seen)


def test_nobody_buys_an_item_twice_or_looks_at_it_again(four_weeks: list[Interaction]) -> None:
    bought: dict[str, set[str]] = defaultdict(set)
    for made in four_weeks:
        assert made.item_id not in bought[made.user_id]
        if made.kind == "purchase":
            bought[made.user_id].add(made.item_id)
    assert sum(map(len, bought.values())) > 200


def test_what_is_bought_was_in_the_cart_and_looked_at_before_in_the_same_visit(four_weeks: list[Interaction]) -> None:
    done: set[tuple[str | None, str, str]] = set()
    for made in four_weeks:
        earlier = {"cart": "view", "purchase": "cart"}.get(made.kind)
        assert earlier is None or (made.session_id, made.item_id, earlier) in done
        done.add((made.session_id, made.item_id, made.kind))


def test_shoppers_come_in_the_evening_and_on_saturday_rather_than_at_night_or_on_monday(
    four_weeks: list[Interaction],
) -> None:
    hours = Counter(made.occurred_at.hour for made in four_weeks)
    days = Counter(made.occurred_at.weekday() for made in four_weeks)
    assert sum(hours[hour] for hour in (18, 19, 20)) > 5 * sum(hours[hour] for hour in (2, 3, 4))
    assert days[5] > 1.2 * days[0]


@pytest.mark.parametrize("changed", [False, True])
@pytest.mark.parametrize("last", [NOTHING, 3])
def test_what_is_drawn_has_the_shares_that_the_law_states(*, changed: bool, last: int) -> None:
    world, draws, shopper = draw_shop(CONFIG), 40_000, 5
    shares = next_item_shares(world, shopper, last, changed=changed, day=10)
    drawn = draw_next_items(
        world, np.random.default_rng(1), np.full(draws, shopper), np.full(draws, last), np.full(draws, changed), 10
    )
    assert shares.sum() == pytest.approx(1)
    counts = np.bincount(drawn, minlength=CONFIG.items)
    assert np.all(counts[shares == 0] == 0)
    deviations = (counts - draws * shares) / np.sqrt(draws * np.maximum(shares, 1e-9))
    assert np.abs(deviations[shares > 0]).max() < 4.5


def test_what_usually_follows_comes_next_far_more_often_than_by_chance(four_weeks: list[Interaction]) -> None:
    world = draw_shop(CONFIG)
    position = {item_id: at for at, item_id in enumerate(world.item_ids)}
    looks: dict[str | None, list[int]] = defaultdict(list)
    for made in four_weeks:
        if made.kind == "view":
            looks[made.session_id].append(position[made.item_id])
    pairs = [pair for visit in looks.values() for pair in itertools.pairwise(visit)]
    followed = sum(item in world.followers[last] for last, item in pairs) / len(pairs)
    assert 0.35 < followed < 0.6


def test_a_change_of_taste_moves_only_those_it_concerns_and_only_from_then_on(four_weeks: list[Interaction]) -> None:
    shoppers = Shoppers(CONFIG)
    shoppers.change_taste(after(14))
    made = streamed(shoppers, after(21))
    earlier = [one for one in four_weeks if one.occurred_at < after(14)]
    assert made[: len(earlier)] == earlier
    collection = {item.item_id for item in shoppers.items(collection=True)}
    later = [one for one in made[len(earlier) :] if one.occurred_at > after(14.1)]
    of_changed = [one.item_id in collection for one in later if shoppers.has_changed(one.user_id, one.occurred_at)]
    of_others = [one.item_id in collection for one in later if not shoppers.has_changed(one.user_id, one.occurred_at)]
    assert sum(of_changed) > 0.6 * len(of_changed) > 100
    assert len(of_others) > 100
    assert not any(of_others)
    assert not any(one.item_id in collection for one in earlier)


def test_clicks_come_with_the_probability_that_is_told(shoppers: Shoppers) -> None:
    user_id, at, rounds = "shopper-00011", after(8), 600
    clicks = expected = variance = 0.0
    for _ in range(rounds):
        world = shoppers.world
        shares = next_item_shares(world, 11, int(shoppers._last[11]), changed=False, day=8)
        shown = [world.item_ids[position] for position in np.argsort(-shares)[:10]]
        told = shoppers.click_probabilities(user_id, shown, at)
        clicks += len(shoppers.respond(user_id, shown, at, recommendation_id="r-1").clicked)
        expected += told.sum()
        variance += (told * (1 - told)).sum()
    assert abs(clicks - expected) < 4 * variance**0.5
    assert expected > 50


def test_places_further_down_are_clicked_less(shoppers: Shoppers) -> None:
    item_id = "item-00004"
    told = [
        shoppers.click_probabilities("shopper-00001", ["unknown"] * place + [item_id], after(8))[place]
        for place in range(3)
    ]
    assert told == pytest.approx([told[0], told[0] * 0.9, told[0] * 0.81])
    assert told[0] > 0


def test_nothing_unknown_or_bought_is_clicked(shoppers: Shoppers) -> None:
    user_id = next(user_id for user_id in shoppers.world.user_ids if shoppers.bought(user_id))
    shown = [*shoppers.bought(user_id), "no-such-item"]
    assert shoppers.click_probabilities(user_id, shown, after(8)).tolist() == [0.0] * len(shown)


def test_a_response_is_in_the_past_and_only_clicks_carry_the_recommendation(shoppers: Shoppers) -> None:
    at = after(8)
    carried_total = 0
    for user_id in shoppers.world.user_ids[:100]:
        shown = [item.item_id for item in shoppers.items()[:10]]
        bought = shoppers.bought(user_id)
        clicked, made = shoppers.respond(user_id, shown, at, recommendation_id="r-1")
        carried = {one.item_id for one in made if one.recommendation_id is not None}
        assert carried == {shown[place] for place in clicked}
        assert [one.occurred_at for one in made] == sorted(one.occurred_at for one in made)
        assert all(at - timedelta(minutes=1) < one.occurred_at <= at for one in made)
        assert not bought & {one.item_id for one in made}
        assert {one.item_id for one in made if one.kind == "purchase"} | bought == shoppers.bought(user_id)
        carried_total += len(carried)
    assert carried_total > 5
