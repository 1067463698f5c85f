"""What is popular and what is trending: the latest days of `interactions`, folded in memory as they come.

A shopper counts once an item, kind and day. So a record that comes twice changes nothing, and who clicks all day is one
shopper. Shoppers whose payments were declined count as much less as the payment's fraud score was high, from then on:
what counted before stays until its day leaves. What was counted without asking the store is read again once it answers.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.scoring.recommendations.following import Follower
from services.scoring.recommendations.popularity import (
    DAY_MICROSECONDS,
    KIND_WEIGHTS,
    POPULAR_HALF_LIFE,
    Counts,
    FadingCounts,
    Ranking,
    day_of,
)
from services.scoring.recommendations.seen import OncePerDay
from services.scoring.recommendations.trending import TRENDING_HALF_LIFE, lifts
from services.scoring.recommendations.trust import Trust
from shared.bus.base import Bus
from shared.contracts.events import Event
from shared.contracts.shopping import Interaction
from shared.contracts.topics import INTERACTIONS
from shared.features.state import identity, microseconds
from shared.runtime.clock import Clock

DAYS_KEPT = 7
"""Whole days, beside the current one, whose interactions count."""


class Standing(NamedTuple):
    """What counts now; never changes.

    positions: of items in `relative`. relative: log(1 + count) of each item, over that of the most popular one.
    """

    popular: Ranking
    trending: Ranking
    positions: dict[str, int]
    relative: Counts


_NOTHING = Standing(Ranking([], np.zeros(0)), Ranking([], np.zeros(0)), {}, np.zeros(0))


class Audience(Follower):
    """Follows `interactions`."""

    name = "audience"

    def __init__(self, bus: Bus, trust: Trust, clock: Clock, *, future_max: timedelta) -> None:
        """Wire it; future_max: how far ahead of the clock an interaction may be dated to count."""
        super().__init__(bus, [INTERACTIONS], clock, reads_back=timedelta(days=DAYS_KEPT + 1), in_order=False)
        self._trust = trust
        self._future_max = future_max
        self._standing = _NOTHING
        self.begin()

    def popular(self) -> Ranking:
        """Return the items that were asked for over the last days, the latest hours first of all, best first."""
        return self._standing.popular

    def trending(self) -> Ranking:
        """Return the items that are asked for more than usual now, by how many times; often none."""
        return self._standing.trending

    def popularity(self, item_id: str) -> float:
        """Return how popular an item is, from 0, unheard of, to 1, the most popular; on a logarithmic scale."""
        standing = self._standing
        at = standing.positions.get(item_id, len(standing.relative))
        return float(standing.relative[at]) if at < len(standing.relative) else 0.0

    def begin(self) -> None:
        self._is_judged = True
        self._item_ids: list[str] = []
        self._positions: dict[str, int] = {}
        self._seen = OncePerDay(days_kept=DAYS_KEPT)
        self._popular = FadingCounts(POPULAR_HALF_LIFE, days_kept=DAYS_KEPT)
        self._usual = FadingCounts(POPULAR_HALF_LIFE, days_kept=DAYS_KEPT)
        self._recent = FadingCounts(TRENDING_HALF_LIFE, days_kept=1)

    def is_flawed(self) -> bool:
        return not self._is_judged and self._trust.reachable()

    def take(self, events: Sequence[Event]) -> None:
        now = self._clock.now()
        first_us = (day_of(now) - DAYS_KEPT) * DAY_MICROSECONDS
        last_us = microseconds(now + self._future_max)
        counted: list[tuple[Interaction, int]] = []
        for event in events:
            if isinstance(event, Interaction) and event.kind in KIND_WEIGHTS:
                time_us = microseconds(event.occurred_at)
                if first_us <= time_us <= last_us and self._is_new(event, time_us // DAY_MICROSECONDS):
                    counted.append((event, time_us))
        if counted:
            self._count(counted)

    def publish(self) -> None:
        now, items = self._clock.now(), len(self._item_ids)
        self._seen.settle(day_of(now))
        popular, usual, recent = (counts.at(now, items=items) for counts in (self._popular, self._usual, self._recent))
        kept = np.flatnonzero(popular)
        if len(kept) < items:
            popular, usual, recent = popular[kept], usual[kept], recent[kept]
            self._forget_all_but(kept)
        logarithms = np.log1p(popular)
        self._standing = Standing(
            Ranking(self._item_ids, popular),
            Ranking(self._item_ids, lifts(recent, usual)),
            self._positions,
            logarithms / max(1.0, float(logarithms.max(initial=0.0))),
        )

    def _forget_all_but(self, kept: npt.NDArray[np.int64]) -> None:
        """Let go of items that nobody asked for any more; readers still hold what was published before."""
        self._item_ids = [self._item_ids[at] for at in kept.tolist()]
        self._positions = {item_id: place for place, item_id in enumerate(self._item_ids)}
        for counts in (self._popular, self._usual, self._recent):
            counts.keep(kept)

    def _is_new(self, event: Interaction, day: int) -> bool:
        # A control character stands in no id, so it keeps them apart.
        return self._seen.is_new(day, identity(f"{event.user_id}\n{event.item_id}\n{event.kind}"))

    def _count(self, counted: Sequence[tuple[Interaction, int]]) -> None:
        judged = self._trust.of([event.user_id for event, _ in counted])
        self._is_judged &= judged.is_complete
        trust = np.array([judged.trust.get(event.user_id, 1.0) for event, _ in counted])
        positions = np.array([self._position(event.item_id) for event, _ in counted], dtype=np.int64)
        times_us = np.array([time_us for _, time_us in counted], dtype=np.int64)
        weights = np.array([KIND_WEIGHTS[event.kind] for event, _ in counted])
        self._popular.add(positions, times_us, weights * trust)
        # A trend is told by how many come, whatever they do: a few large baskets make none.
        self._usual.add(positions, times_us, trust)
        self._recent.add(positions, times_us, trust)

    def _position(self, item_id: str) -> int:
        position = self._positions.setdefault(item_id, len(self._item_ids))
        if position == len(self._item_ids):
            self._item_ids.append(item_id)
        return position
