"""Who pays where: cards and merchants on a plane, as drawn once from a seed.

The world is the one that the Fraud Detection Handbook describes (Le Borgne, Siblini, Lebichot, Bontempi:
"Reproducible Machine Learning for Credit Card Fraud Detection", 2022, chapter 3): a card buys only from merchants
within a radius, and has a mean amount and a mean number of payments a day of its own.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.spatial import KDTree

PLANE_SIDE = 100.0
MERCHANTS_WITHIN_REACH_MEAN = 78.5
"""The book's 10,000 merchants and radius of 5; a smaller world gets a wider radius, so that habits stay alike."""

_MEAN_AMOUNT_MAJOR = (5.0, 100.0)
_PAYMENTS_A_DAY_MEAN_MAX = 4.0
_COUNTRIES = ("DE", "FR", "NL", "ES", "IT")
_CATEGORIES = ("5411", "5499", "5541", "5732", "5812", "5912", "5942", "7011")
_ECOMMERCE_SHARE = 0.4
_TWO_DEVICES_SHARE = 0.5
_CARDS_OF_TWO_USERS = 3
"""Every other user holds two cards."""

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Channel = Literal["card_present", "ecommerce"]


@dataclass(frozen=True)
class World:
    """Cards and merchants by index.

    mean_amount: of each card, in major units; the standard deviation is half of it.
    payments_a_day_mean: of each card.
    has_second_device: of each card; its devices are numbers 2 c and, where it has a second one, 2 c + 1.
    reach, reach_starts: the merchants that card c buys from are reach[reach_starts[c]:reach_starts[c + 1]].
    online: the merchants that sell over the network, where a payment comes from a device.
    """

    card_ids: list[str]
    user_ids: list[str]
    has_second_device: Flags
    mean_amount: Floats
    payments_a_day_mean: Floats
    reach: Integers
    reach_starts: Integers
    merchant_ids: list[str]
    countries: list[str]
    categories: list[str]
    channels: list[Channel]
    online: Flags


class Payments(NamedTuple):
    """One day's payments as columns, cards and merchants by index; burst_begun_ms is 0 outside of bursts."""

    time_ms: Integers
    card: Integers
    merchant: Integers
    amount_cents: Integers
    scenario: Integers
    burst_begun_ms: Integers


def draw_world(random: np.random.Generator, *, cards: int, merchants: int) -> World:
    """Return a world of that size."""
    reach, reach_starts = _reach(
        random.uniform(0, PLANE_SIDE, (cards, 2)), random.uniform(0, PLANE_SIDE, (merchants, 2))
    )
    online = random.random(merchants) < _ECOMMERCE_SHARE
    return World(
        card_ids=[f"card-{number:05d}" for number in range(cards)],
        user_ids=[f"user-{2 * number // _CARDS_OF_TWO_USERS:05d}" for number in range(cards)],
        mean_amount=random.uniform(*_MEAN_AMOUNT_MAJOR, cards),
        payments_a_day_mean=random.uniform(0, _PAYMENTS_A_DAY_MEAN_MAX, cards),
        reach=reach,
        reach_starts=reach_starts,
        merchant_ids=[f"merchant-{number:05d}" for number in range(merchants)],
        countries=[_COUNTRIES[at] for at in random.integers(len(_COUNTRIES), size=merchants)],
        categories=[_CATEGORIES[at] for at in random.integers(len(_CATEGORIES), size=merchants)],
        channels=["ecommerce" if is_online else "card_present" for is_online in online],
        online=online,
        has_second_device=random.random(cards) < _TWO_DEVICES_SHARE,
    )


def _reach(cards: Floats, merchants: Floats) -> tuple[Integers, Integers]:
    radius = PLANE_SIDE * np.sqrt(MERCHANTS_WITHIN_REACH_MEAN / (np.pi * len(merchants)))
    tree = KDTree(merchants)
    _, nearest = tree.query(cards)
    within = [found or [closest] for found, closest in zip(tree.query_ball_point(cards, radius), nearest, strict=True)]
    starts = np.concatenate([[0], np.cumsum([len(found) for found in within])])
    return np.concatenate([np.asarray(found, dtype=np.int64) for found in within]), starts.astype(np.int64)
