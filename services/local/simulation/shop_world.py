"""A shop that never was: its items, its shoppers, and what each would look at next; drawn once from a seed.

All chance of the simulator follows from one law, `next_item_shares`: a shopper goes on to an item that usually follows
the last one, or picks a category by taste and an item of it by popularity. Whoever simulates knows the truth, so what
estimators say of shoppers can be held against it.
"""

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

SEGMENTS = ("student", "family", "senior")
NOTHING = -1
"""Stands for the last item of a shopper who has looked at none."""

_FOLLOWER_SHARES = np.array([0.6, 0.3, 0.1])
_FAVOURITE_SHARES = (0.6, 0.3)
_ZIPF_EXPONENT = 0.8
_COLLECTION_VIEWS_SHARE = 0.85
_BRANDS = tuple(f"brand-{number:02d}" for number in range(12))
_PRICE_MEDIAN_CENTS = 40_00
_LAUNCHED_DURING_SHARE = 0.1
_LAUNCH_DAYS = 28


@dataclass(frozen=True)
class ShopConfig:
    """The shop and its shoppers.

    start: midnight of the first day, UTC.
    visits_a_day_mean: of one shopper, over a whole week.
    follow_share: how often a shopper goes on to what usually follows the last item; after the change of their taste
        only within the collection.
    collection_share: items that come new with the change of taste. changed_share: shoppers whose taste changes then.
    attraction: how readily an item is clicked, given its share of a shopper's next looks (`click_probabilities`).
    """

    seed: int = 1
    items: int = 300
    categories: int = 10
    shoppers: int = 1_500
    start: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    visits_a_day_mean: float = 0.2
    follow_share: float = 0.4
    collection_share: float = 0.25
    changed_share: float = 0.75
    attraction: float = 2.0


@dataclass(frozen=True)
class ShopWorld:
    """Items and shoppers by index; of tables with a first axis of 2, entry 0 holds before the change of taste, 1 after.

    category_of: of each item, ascending. category_starts: category c has the items category_starts[c]:[c + 1].
    is_of_collection: the items that come new with the change. launch_day: before which day nobody sees an item.
    popularity: shape (2, items), share of the looks at its category that an item gets.
    followers: shape (items, 3), what usually comes next, the likeliest first.
    segment_of: of each shopper, place in SEGMENTS. tastes: shape (2, shoppers, categories), shares.
    changes: whose taste changes. visits_a_day_mean: of each shopper.
    """

    item_ids: tuple[str, ...]
    categories: tuple[str, ...]
    category_of: Integers
    category_starts: Integers
    brands: tuple[str, ...]
    price_cents: Integers
    is_of_collection: Flags
    launch_day: Integers
    popularity: Floats
    followers: Integers
    user_ids: tuple[str, ...]
    segment_of: Integers
    tastes: Floats
    changes: Flags
    visits_a_day_mean: Floats
    follow_share: float


def draw_shop(config: ShopConfig) -> ShopWorld:
    """Return the shop that `config` describes."""
    random = np.random.default_rng([config.seed, 0])
    category_of = np.sort(np.arange(config.items) % config.categories)
    starts = np.searchsorted(category_of, np.arange(config.categories + 1))
    is_of_collection = _some_of_each(random, starts, config.collection_share)
    popularity = _popularity(random, starts, is_of_collection)
    segment_of = random.integers(len(SEGMENTS), size=config.shoppers)
    return ShopWorld(
        item_ids=tuple(f"item-{number:05d}" for number in range(config.items)),
        categories=tuple(f"category-{number:02d}" for number in range(config.categories)),
        category_of=category_of,
        category_starts=starts,
        brands=tuple(_BRANDS[at] for at in random.integers(len(_BRANDS), size=config.items)),
        price_cents=np.rint(_PRICE_MEDIAN_CENTS * np.exp(random.normal(0, 0.8, config.items))).astype(np.int64),
        is_of_collection=is_of_collection,
        launch_day=_launch_days(random, starts, popularity[0]),
        popularity=popularity,
        followers=_followers(random, starts, is_of_collection),
        user_ids=tuple(f"shopper-{number:05d}" for number in range(config.shoppers)),
        segment_of=segment_of,
        tastes=np.stack([_tastes(random, segment_of, config.categories) for _ in range(2)]),
        changes=random.random(config.shoppers) < config.changed_share,
        visits_a_day_mean=random.gamma(2.0, config.visits_a_day_mean / 2.0, config.shoppers),
        follow_share=config.follow_share,
    )


def next_item_shares(world: ShopWorld, shopper: int, last: int, *, changed: bool, day: int) -> Floats:
    """Return with which probability each item is what a shopper looks at next; shape (items,), sums to 1.

    last: what they looked at before, or NOTHING. changed: whether their taste has. day: number, from 0 at the start.
    """
    row = int(changed)
    seen = _seen(world, day)[row]
    shares: Floats = world.tastes[row, shopper, world.category_of] * seen
    if last == NOTHING:
        return shares
    followers = world.followers[last]
    follow = world.follow_share * _FOLLOWER_SHARES * _is_followed(world, followers, seen[followers], changed)
    shares *= 1 - follow.sum()
    np.add.at(shares, followers, follow)
    return shares


def draw_next_items(
    world: ShopWorld, random: np.random.Generator, shopper: Integers, last: Integers, changed: Flags, day: int
) -> Integers:
    """Draw what each of some shoppers looks at next, by `next_item_shares`.

    shopper, last, changed: shape (n,), as is what is returned; day: the same for all.
    """
    row, items = changed.astype(np.int64), len(world.item_ids)
    seen = _seen(world, day)
    reached = np.cumsum(world.tastes[row, shopper], axis=1)
    category = np.minimum((reached < random.random((len(shopper), 1))).sum(axis=1), len(world.categories) - 1)
    bounds = np.concatenate([[0.0], np.cumsum(seen)])
    low = bounds[row * items + world.category_starts[category]]
    high = bounds[row * items + world.category_starts[category + 1]]
    by_taste = np.searchsorted(bounds, low + random.random(len(shopper)) * (high - low), side="right") - 1 - row * items
    follower = world.followers[last, random.choice(len(_FOLLOWER_SHARES), size=len(shopper), p=_FOLLOWER_SHARES)]
    follows = (last != NOTHING) & (random.random(len(shopper)) < world.follow_share)
    return np.where(follows & _is_followed(world, follower, seen[row, follower], changed), follower, by_taste)


def _is_followed(world: ShopWorld, follower: Integers, seen: Floats, changed: Flags | bool) -> Flags:
    """Tell who goes on to `follower`: not who cannot see it yet, nor who has changed and it is out of fashion."""
    followed: Flags = (seen > 0) & (world.is_of_collection[follower] | np.logical_not(changed))
    return followed


def _seen(world: ShopWorld, day: int) -> Floats:
    """Return `popularity` among what is on sale on `day`: each category's shares sum to 1."""
    weights = world.popularity * (world.launch_day <= day)
    totals = np.add.reduceat(weights, world.category_starts[:-1], axis=1)
    seen: Floats = weights / totals[:, world.category_of]
    return seen


def _some_of_each(random: np.random.Generator, starts: Integers, share: float) -> Flags:
    chosen = np.zeros(starts[-1], dtype=np.bool_)
    for low, high in itertools.pairwise(starts):
        chosen[random.choice(np.arange(low, high), size=round(share * (high - low)), replace=False)] = True
    return chosen


def _popularity(random: np.random.Generator, starts: Integers, is_of_collection: Flags) -> Floats:
    """Return Zipf's shares; the collection has none before the change, and most of them after it."""
    popularity = np.zeros((2, len(is_of_collection)))
    for low, high in itertools.pairwise(starts):
        of_category = np.arange(low, high)
        old, new = of_category[~is_of_collection[low:high]], of_category[is_of_collection[low:high]]
        popularity[0, old] = _zipf(random, len(old))
        new_share = _COLLECTION_VIEWS_SHARE if len(new) else 0.0
        popularity[1, old] = (1 - new_share) * popularity[0, old]
        popularity[1, new] = new_share * _zipf(random, len(new))
    return popularity


def _zipf(random: np.random.Generator, count: int) -> Floats:
    shares = 1.0 / np.arange(1, count + 1) ** _ZIPF_EXPONENT
    return random.permutation(shares / shares.sum())


def _launch_days(random: np.random.Generator, starts: Integers, popularity: Floats) -> Integers:
    """Return 0 for most, and for whatever is the most popular of its category; others come within the first weeks."""
    later = (random.random(len(popularity)) < _LAUNCHED_DURING_SHARE) & (popularity > 0)
    for low, high in itertools.pairwise(starts):
        later[low + np.argmax(popularity[low:high])] = False
    return np.where(later, random.integers(1, _LAUNCH_DAYS, len(popularity)), 0)


def _followers(random: np.random.Generator, starts: Integers, is_of_collection: Flags) -> Integers:
    """Return for each item three others, of its category; of the collection, where it is of it."""
    followers = np.empty((len(is_of_collection), len(_FOLLOWER_SHARES)), dtype=np.int64)
    for low, high in itertools.pairwise(starts):
        of_category = np.arange(low, high)
        for item in of_category:
            alike = of_category[(is_of_collection[low:high] == is_of_collection[item]) & (of_category != item)]
            followers[item] = random.choice(alike, size=len(_FOLLOWER_SHARES), replace=False)
    return followers


def _tastes(random: np.random.Generator, segment_of: Integers, categories: int) -> Floats:
    """Return tastes: a favourite category, likelier one of the segment's, a second one, a little of everything."""
    shoppers = np.arange(len(segment_of))
    tastes = np.full((len(shoppers), categories), (1 - sum(_FAVOURITE_SHARES)) / categories)
    of_segment = random.dirichlet(np.full(categories, 0.7), len(SEGMENTS))
    reached = np.cumsum(of_segment[segment_of], axis=1)
    favourite = np.minimum((reached < random.random((len(shoppers), 1))).sum(axis=1), categories - 1)
    second = (favourite + random.integers(1, categories, len(shoppers))) % categories
    tastes[shoppers, favourite] += _FAVOURITE_SHARES[0]
    tastes[shoppers, second] += _FAVOURITE_SHARES[1]
    return tastes
