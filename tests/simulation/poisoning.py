"""Fake shoppers push an item: where it ends up, with and without what Headrace knows of their payments."""

import random
from datetime import timedelta
from typing import NamedTuple

from services.scoring.recommendations.audience import Audience
from services.scoring.recommendations.trust import Trust, distrust_text
from shared.bus.memory import MemoryBus
from shared.contracts.shopping import Interaction
from shared.recommendation.history import distrust_key
from shared.runtime.clock import ManualClock
from shared.store.memory import MemoryStore
from tests.events import START
from tests.unit.scoring.recommendations.shop_events import interaction

ITEMS = 200
SHOPPERS = 1_000
CLICKS = 6_000
FAKE_SHOPPERS = 50
FAKE_SCORE = 0.97
PUSHED = "i190"
KINDS = ("view", "cart", "purchase", "like")


class Ranks(NamedTuple):
    """Places from 1 of the pushed item among the popular; is_trending: whether it is told as a trend."""

    popular: int
    is_trending: bool


def ranks(*, attacked: bool, distrusted: bool) -> Ranks:
    """Return where the pushed item stands after a week, in its last hour under attack or not."""
    clock = ManualClock(START)
    store = MemoryStore(clock)
    if distrusted:
        for n in range(FAKE_SHOPPERS):
            store.put(distrust_key(f"fake{n}"), distrust_text(FAKE_SCORE), expire_after=None)
    audience = Audience(MemoryBus(partitions=1), Trust(store), clock, future_max=timedelta())
    audience.take(_honest())
    if attacked:
        audience.take(_fake())
    audience.publish()
    popular = [item_id for item_id, _ in audience.popular()]
    return Ranks(popular.index(PUSHED) + 1, PUSHED in dict(audience.trending()))


def _honest() -> list[Interaction]:
    chance = random.Random(8)
    popularity = [1 / (rank + 5) for rank in range(ITEMS)]
    chosen = chance.choices(range(ITEMS), popularity, k=CLICKS)
    return [
        interaction(f"u{chance.randrange(SHOPPERS)}", f"i{at}", at=START - chance.random() * timedelta(days=7))
        for at in chosen
    ]


def _fake() -> list[Interaction]:
    """Return what the fake shoppers do in an hour: everything that there is to do, and some of it again."""
    chance = random.Random(9)
    return [
        interaction(f"fake{n}", PUSHED, kind, at=START - chance.random() * timedelta(hours=1))
        for n in range(FAKE_SHOPPERS)
        for kind in (*KINDS, "view", "view")
    ]
