"""When shoppers come, how long they stay, and what becomes of what they look at."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from services.local.simulation.shop_world import NOTHING, Flags, Floats, Integers, ShopWorld, draw_next_items

Kind = Literal["view", "cart", "purchase"]
KINDS: tuple[Kind, ...] = ("view", "cart", "purchase")
"""What a look may lead to, each with those before it."""

HOUR_WEIGHTS = (1, 1, 1, 1, 1, 2, 4, 6, 8, 9, 9, 9, 10, 9, 8, 8, 9, 11, 13, 15, 16, 13, 8, 3)
"""How many visits begin in each hour of the day."""
WEEKDAY_WEIGHTS = (0.9, 0.9, 0.9, 0.9, 1.0, 1.3, 1.1)
"""How many visits a day of the week has, Monday first; the mean is 1."""
CART_SHARE = 0.25
PURCHASE_SHARE = 0.5
"""Of what is in a cart."""
GOES_ON_SHARE = 0.7
LOOKS_MAX = 8

_DAY_SECONDS = 86_400
_STEP_SECONDS = (10, 90)
_VISIT_SECONDS_MAX = LOOKS_MAX * len(KINDS) * _STEP_SECONDS[1]


class Visits(NamedTuple):
    """What happened on a day, as columns in order of time.

    seconds: since midnight. kind: place in KINDS. visit: number of the visit on that day.
    """

    seconds: Floats
    shopper: Integers
    item: Integers
    kind: Integers
    visit: Integers

    def rows(self) -> Iterator[tuple[float, int, int, int, int]]:
        """Yield what happened, one after the other."""
        columns = (self.shopper.tolist(), self.item.tolist(), self.kind.tolist(), self.visit.tolist())
        yield from zip(self.seconds.tolist(), *columns, strict=True)


def draw_visits(
    world: ShopWorld, random: np.random.Generator, day: int, *, weekday: int, changed_from_seconds: float | None
) -> Visits:
    """Draw a day's visits, every shopper's at once, a step at a time.

    weekday: 0 is Monday. changed_from_seconds: since midnight; visits that begin from then on are of changed taste.
    """
    visits_mean = world.visits_a_day_mean * WEEKDAY_WEIGHTS[weekday]
    shopper = np.repeat(np.arange(len(world.user_ids)), random.poisson(visits_mean))
    seconds = _begun_seconds(random, len(shopper))
    changed: Flags = np.zeros(len(shopper), dtype=np.bool_)
    if changed_from_seconds is not None:
        changed = world.changes[shopper] & (seconds >= changed_from_seconds)
    visit, last = np.arange(len(shopper)), np.full(len(shopper), NOTHING)
    steps: list[Visits] = []
    for _ in range(LOOKS_MAX):
        last = draw_next_items(world, random, shopper, last, changed, day)
        further = draw_further(random, len(shopper))
        for kind in range(len(KINDS)):
            done = further >= kind
            seconds = seconds + done * random.uniform(*_STEP_SECONDS, len(shopper))
            steps.append(Visits(seconds[done], shopper[done], last[done], further[done] * 0 + kind, visit[done]))
        stays = random.random(len(shopper)) < GOES_ON_SHARE
        shopper, last, changed, visit, seconds = (
            shopper[stays],
            last[stays],
            changed[stays],
            visit[stays],
            seconds[stays],
        )
    return _in_order(steps)


def draw_further(random: np.random.Generator, count: int) -> Integers:
    """Draw how far each look leads, as a place in KINDS; shape (count,)."""
    to_cart = random.random(count) < CART_SHARE
    to_purchase = random.random(count) < PURCHASE_SHARE
    return to_cart * (1 + to_purchase.astype(np.int64))


def _begun_seconds(random: np.random.Generator, count: int) -> Floats:
    """Draw when visits begin; each ends on the same day."""
    weights = np.array(HOUR_WEIGHTS, dtype=np.float64)
    hour = random.choice(len(weights), size=count, p=weights / weights.sum())
    return np.minimum((hour + random.random(count)) * 3600, _DAY_SECONDS - _VISIT_SECONDS_MAX)


def _in_order(steps: list[Visits]) -> Visits:
    seconds = np.concatenate([step.seconds for step in steps])
    order = np.argsort(seconds, kind="stable")
    shopper, item, kind, visit = (np.concatenate(columns)[order] for columns in list(zip(*steps, strict=True))[1:])
    return Visits(seconds[order], shopper, item, kind, visit)
