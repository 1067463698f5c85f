"""Shoppers who never were: their visits, and how they answer recommendations, with the truth known; seeded, endless.

A visit is a walk over items by the law of the world (shop_world.py); what is looked at may be put into the cart, and
bought, once. What they are recommended they click with a known probability,
so a policy's true click-through can be computed beside what an estimator makes of its log.
"""

import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import IntEnum
from typing import NamedTuple

import numpy as np

from services.local.simulation.shop_world import (
    NOTHING,
    SEGMENTS,
    Flags,
    Floats,
    ShopConfig,
    ShopWorld,
    draw_next_items,
    draw_shop,
    next_item_shares,
)
from services.local.simulation.visits import GOES_ON_SHARE, KINDS, LOOKS_MAX, Kind, draw_further, draw_visits
from shared.contracts.ids import derived_event_id
from shared.contracts.shopping import Interaction, Item, User

EXAMINED = 0.9
"""Of the shoppers who look at one place of a list, as many look at the next."""

_DAY = timedelta(days=1)
_BETWEEN_CLICKS = timedelta(milliseconds=1)


class Response(NamedTuple):
    """What a shopper did after a list was shown: places clicked, and every interaction in order of time."""

    clicked: list[int]
    interactions: list[Interaction]


class _Stream(IntEnum):
    """Independent sources of chance; the world has 0."""

    DAYS = 1
    RESPONSES = 2


class Shoppers:
    """One shop, its endless stream of interactions, and its shoppers' answers to what they are shown."""

    def __init__(self, config: ShopConfig) -> None:
        """Draw the shop; interactions are drawn as they are asked for."""
        self.config = config
        self.world: ShopWorld = draw_shop(config)
        self._positions = {item_id: position for position, item_id in enumerate(self.world.item_ids)}
        self._numbers = {user_id: number for number, user_id in enumerate(self.world.user_ids)}
        self._changed_from: datetime | None = None
        self._bought: Flags = np.zeros((config.shoppers, config.items), dtype=np.bool_)
        self._last = np.full(config.shoppers, NOTHING, dtype=np.int64)
        self._responses = 0
        self._interactions = self._stream()

    def items(self, *, collection: bool = False) -> list[Item]:
        """Return what the shop sells from the start, or the collection that comes with the change of taste.

        As of the start; what is launched later is available from then on.
        """
        of_collection = np.flatnonzero(self.world.is_of_collection == collection)
        return [self._item(int(position), collection=collection) for position in of_collection]

    def users(self) -> list[User]:
        """Return every shopper, with the attribute `segment`."""
        start, world = self.config.start, self.world
        return [
            User(
                event_id=derived_event_id(start, "simulated-user", str(self.config.seed), user_id),
                occurred_at=start,
                trace_id=f"{number:032x}",
                user_id=user_id,
                attributes={"segment": SEGMENTS[world.segment_of[number]]},
            )
            for number, user_id in enumerate(world.user_ids)
        ]

    def interactions(self) -> Iterator[Interaction]:
        """Return the stream, in order of event time; every call returns the same one, wherever it is now."""
        return self._interactions

    def change_taste(self, at: datetime) -> None:
        """From `at` on some shoppers like other categories, and the new collection; nobody else does anything new."""
        self._changed_from = at

    def has_changed(self, user_id: str, at: datetime) -> bool:
        """Tell whether this shopper's taste has changed by `at`."""
        return self._has_changed(self._numbers[user_id], at)

    def bought(self, user_id: str) -> set[str]:
        """Return the ids of what a shopper has bought, by what was streamed and responded so far."""
        row = self._bought[self._numbers[user_id]]
        return {self.world.item_ids[position] for position in np.flatnonzero(row)}

    def click_probabilities(self, user_id: str, shown: Sequence[str], at: datetime) -> Floats:
        """Return with which probability each shown item is clicked, independently of the others; shape (len(shown),).

        EXAMINED ** place * (1 - exp(-attraction * share)), where `share` is the item's of the shopper's next looks
        (`next_item_shares`); 0 for what was bought, and for what the shop does not sell.
        """
        shopper = self._numbers[user_id]
        changed = self._has_changed(shopper, at)
        shares = next_item_shares(self.world, shopper, int(self._last[shopper]), changed=changed, day=self._day(at))
        shares = np.append(np.where(self._bought[shopper], 0.0, shares), 0.0)
        of_shown = shares[[self._positions.get(item_id, NOTHING) for item_id in shown]]
        attracted = 1 - np.exp(-self.config.attraction * of_shown)
        probabilities: Floats = EXAMINED ** np.arange(len(shown)) * attracted
        return probabilities

    def respond(self, user_id: str, shown: Sequence[str], at: datetime, *, recommendation_id: str | None) -> Response:
        """Let a shopper, shown a list, click, look around and perhaps buy; nothing happens after `at`.

        The interactions with what was clicked carry `recommendation_id`. The n-th response is the same for the same
        seed, question and history.
        """
        random = np.random.default_rng([self.config.seed, _Stream.RESPONSES, self._responses])
        self._responses += 1
        probabilities = self.click_probabilities(user_id, shown, at)
        clicked = np.flatnonzero(random.random(len(shown)) < probabilities).tolist()
        looks = [(self._positions[shown[place]], recommendation_id) for place in clicked]
        last = looks[-1][0] if looks else int(self._last[self._numbers[user_id]])
        looks += [(item, None) for item in self._wandered(random, user_id, last, at)]
        steps = [(item, kind, carried) for item, carried in looks for kind in KINDS[: 1 + draw_further(random, 1)[0]]]
        session_id = f"visit-{self.config.seed}-{self._responses}"
        made = [
            self._interaction(
                at - _BETWEEN_CLICKS * (len(steps) - 1 - number),
                (self._numbers[user_id], item, kind),
                session_id=session_id,
                number=number,
                recommendation_id=carried,
            )
            for number, (item, kind, carried) in enumerate(steps)
        ]
        return Response(clicked, [interaction for interaction in made if interaction is not None])

    def _wandered(self, random: np.random.Generator, user_id: str, last: int, at: datetime) -> list[int]:
        """Return what a shopper looks at of their own accord: one item at least."""
        shopper = np.array([self._numbers[user_id]])
        changed = np.array([self._has_changed(int(shopper[0]), at)])
        wandered: list[int] = []
        while not wandered or (len(wandered) < LOOKS_MAX and random.random() < GOES_ON_SHARE):
            last = int(draw_next_items(self.world, random, shopper, np.array([last]), changed, self._day(at))[0])
            wandered.append(last)
        return wandered

    def _stream(self) -> Iterator[Interaction]:
        for day in itertools.count():
            midnight = self.config.start + day * _DAY
            random = np.random.default_rng([self.config.seed, _Stream.DAYS, day])
            changed_from = self._changed_from
            looks = draw_visits(
                self.world,
                random,
                day,
                weekday=midnight.weekday(),
                changed_from_seconds=None if changed_from is None else (changed_from - midnight).total_seconds(),
            )
            for number, (seconds, shopper, item, kind, visit) in enumerate(looks.rows()):
                at = midnight + timedelta(seconds=seconds)
                session_id = f"session-{self.config.seed}-{day}-{visit}"
                made = self._interaction(at, (shopper, item, KINDS[kind]), session_id=session_id, number=number)
                if made is not None:
                    yield made

    def _interaction(
        self,
        at: datetime,
        what: tuple[int, int, Kind],
        *,
        session_id: str,
        number: int,
        recommendation_id: str | None = None,
    ) -> Interaction | None:
        """Return what happened and remember it; None when the shopper had bought the item before."""
        shopper, item, kind = what
        if self._bought[shopper, item]:
            return None
        self._bought[shopper, item] = kind == "purchase"
        self._last[shopper] = item
        event_id = derived_event_id(at, "simulated-interaction", session_id, str(number))
        return Interaction(
            event_id=event_id,
            occurred_at=at,
            trace_id=event_id.replace("-", ""),
            user_id=self.world.user_ids[shopper],
            item_id=self.world.item_ids[item],
            kind=kind,
            session_id=session_id,
            recommendation_id=recommendation_id,
        )

    def _item(self, position: int, *, collection: bool) -> Item:
        world, start = self.world, self.config.start
        launched = start + int(world.launch_day[position]) * _DAY
        return Item(
            event_id=derived_event_id(start, "simulated-item", str(self.config.seed), world.item_ids[position]),
            occurred_at=start,
            trace_id=f"{position:032x}",
            item_id=world.item_ids[position],
            categories=[world.categories[world.category_of[position]]],
            attributes={"brand": world.brands[position], "price": float(world.price_cents[position]) / 100},
            available_from=None if collection or launched == start else launched,
        )

    def _has_changed(self, shopper: int, at: datetime) -> bool:
        return self._changed_from is not None and at >= self._changed_from and bool(self.world.changes[shopper])

    def _day(self, at: datetime) -> int:
        return (at - self.config.start) // _DAY
