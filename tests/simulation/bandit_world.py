"""Shoppers with tastes, items with a hidden appeal, and a model that is out of date: where a bandit earns its keep.

Everything is drawn from a seed. A shopper likes one of the categories; the probability of a click depends on that and on
the item's appeal, and is known here, so that regret is exact.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

import numpy as np

from services.scoring.recommendations.arranging import Candidate
from services.scoring.recommendations.bandit import Bandit
from services.scoring.recommendations.contexts import Moment, interests
from services.scoring.recommendations.trust import Trust
from shared.bus.memory import MemoryBus
from shared.contracts.ids import derived_event_id
from shared.contracts.shopping import Exploration, Impression, Item, ShownItem
from shared.runtime.clock import ManualClock
from shared.store.memory import MemoryStore
from tests.events import START, TRACE_ID
from tests.unit.scoring.recommendations.catalogue_scene import item
from tests.unit.scoring.recommendations.shop_events import click

CATEGORIES = 4
KNOWN_ITEMS = 24
NEW_ITEMS = 8
POOL = 12
NEW_IN_POOL = 4
IMPRESSIONS_A_DAY = 1_000
REFRESHED_AFTER = 25
"""Impressions between two refreshes of the posterior: about a second of a busy shop."""


class World:
    """What is true, and what the model believes."""

    def __init__(self, seed: int, *, liking: float = 0.12, appeal_new: float = 0.10) -> None:
        """Draw a world.

        liking: what it adds to the probability of a click that a shopper likes the category. appeal_new: what the
        appeal of items that the model does not know adds at most; of the others it adds up to 0.05.
        """
        self.random = np.random.default_rng(seed)
        self.liking = liking
        count = KNOWN_ITEMS + NEW_ITEMS
        self.names = [f"i{n}" for n in range(count)]
        self.category = self.random.integers(CATEGORIES, size=count)
        most = np.where(np.arange(count) < KNOWN_ITEMS, 0.05, appeal_new)
        self.appeal = 0.01 + most * self.random.random(count) ** 2
        self.believed = self.random.random(KNOWN_ITEMS)
        self.items: dict[str, Item] = {
            name: item(name, categories=[f"c{category}"])
            for name, category in zip(self.names, self.category.tolist(), strict=True)
        }

    def click_probabilities(self, positions: Sequence[int], taste: int) -> np.ndarray:
        """Return of each item the probability that a shopper who likes the category `taste` clicks it."""
        at = np.asarray(positions)
        return np.asarray(np.clip(self.appeal[at] + self.liking * (self.category[at] == taste), 0.005, 1.0))

    def pool(self) -> list[int]:
        """Return who may fill the place: the model's best that are left, then some new items."""
        left = self.random.permutation(KNOWN_ITEMS)[: 2 * POOL]
        best = left[np.argsort(-self.believed[left])][: POOL - NEW_IN_POOL]
        return [*best.tolist(), *(KNOWN_ITEMS + self.random.permutation(NEW_ITEMS)[:NEW_IN_POOL]).tolist()]

    def change_taste(self) -> None:
        """From now on nobody cares for categories, and other items appeal, some of them more."""
        self.liking = 0.0
        self.appeal = 0.01 + 0.2 * self.random.random(len(self.names)) ** 2

    def knows(self, item_id: str) -> bool:
        return int(item_id[1:]) < KNOWN_ITEMS


class Shown(NamedTuple):
    """One impression.

    probabilities: of a click, of each item of the pool. item: the position in the world of what was shown.
    """

    probabilities: np.ndarray
    propensities: list[float]
    chosen: int
    item: int
    is_clicked: bool

    @property
    def regret(self) -> float:
        """By how much a click was less likely than on the pool's best."""
        return float(self.probabilities.max() - self.probabilities[self.chosen])


class Shop:
    """A world with a bandit that learns from what it shows."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clock = ManualClock(START)
        self.bandit = Bandit(
            MemoryBus(partitions=1),
            Trust(MemoryStore(self.clock)),
            self.clock,
            popularity=lambda _: 0.0,
            draw=world.random.random,
        )
        self._shown = 0

    def run(self, impressions: int, *, share: float) -> list[Shown]:
        """Show so many lists; share: how often the place is the bandit's."""
        return [self._show(share) for _ in range(impressions)]

    def _show(self, share: float) -> Shown:
        world, random = self.world, self.world.random
        taste = int(random.integers(CATEGORIES))
        recent = [name for name, category in zip(world.names, world.category, strict=True) if category == taste][:3]
        pool = world.pool()
        candidates = [Candidate(world.names[at], float(world.believed[at]) if at < KNOWN_ITEMS else 0.0) for at in pool]
        moment = Moment(world.items.get, world.knows, interests(recent, world.items.get))
        chosen, propensities, contexts = self.bandit.explorer(moment).choose(candidates, share)
        probabilities = world.click_probabilities(pool, taste)
        is_clicked = bool(random.random() < probabilities[chosen])
        self._learn(candidates, chosen, propensities, contexts, is_clicked=is_clicked)
        return Shown(probabilities, propensities, chosen, pool[chosen], is_clicked)

    def _learn(
        self,
        candidates: Sequence[Candidate],
        chosen: int,
        propensities: list[float],
        contexts: list[list[float]],
        *,
        is_clicked: bool,
    ) -> None:
        self._shown += 1
        self.clock.advance(timedelta(days=1) / IMPRESSIONS_A_DAY)
        name = f"r{self._shown}"
        shown = Impression(
            event_id=derived_event_id(self.clock.now(), "impressions", name),
            occurred_at=self.clock.now(),
            trace_id=TRACE_ID,
            recommendation_id=name,
            user_id=f"u{self._shown}",
            items=[
                ShownItem(
                    item_id=candidates[chosen].item_id,
                    score=candidates[chosen].score,
                    propensity=propensities[chosen],
                )
            ],
            model_name="recommendation",
            model_version=1,
            exploration=Exploration(
                place=0,
                pool=[candidate.item_id for candidate in candidates],
                scores=[candidate.score for candidate in candidates],
                contexts=contexts,
                propensities=propensities,
                chosen=chosen,
            ),
        )
        self.bandit.take([shown, click(shown)] if is_clicked else [shown])
        if self._shown % REFRESHED_AFTER == 0:
            self.bandit.publish()


def regret(shown: Sequence[Shown]) -> float:
    """Return the mean regret."""
    return float(np.mean([one.regret for one in shown]))


def regret_of_chance(shown: Sequence[Shown]) -> float:
    """Return the mean regret, had each place been filled blindly."""
    return float(np.mean([one.probabilities.max() - one.probabilities.mean() for one in shown]))


def regret_of_model(shown: Sequence[Shown]) -> float:
    """Return the mean regret, had the model's first been shown each time."""
    return float(np.mean([one.probabilities.max() - one.probabilities[0] for one in shown]))
