"""What the bandit knows: which contexts were tried, which of them clicked, day by day.

Everything is a sum of integers (contexts in units of contexts.UNIT, trust in units of 1 / WHOLE), so every replica
comes to the same sums, whatever order it read in; a day leaves as a whole, so one that has just started does too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.scoring.recommendations.contexts import FEATURES, UNIT, in_units
from services.scoring.recommendations.popularity import DAY_MICROSECONDS, day_of
from services.scoring.recommendations.trials import Trials
from shared.contracts.shopping import Impression, Interaction
from shared.features.state import microseconds

Sums = npt.NDArray[np.int64]

DAYS_KEPT = 14
"""Whole days, beside the current one, that are remembered."""
CLICK_WITHIN = timedelta(hours=1)
"""A click counts when it is dated so long after the impression at most."""
REMEMBERED_FOR = 2 * CLICK_WITHIN
"""So long, by the time of events, an impression waits for its click, and a click for its impression."""
CLICKS = ("view", "cart", "purchase", "like")
WHOLE = 1_024
"""The weight of a trial by a shopper who is trusted."""

_MICROSECOND = timedelta(microseconds=1)


class Evidence(NamedTuple):
    """What was learned, older days discounted.

    squares: sum of the outer products of the contexts tried, shape (features, features).
    clicked: sum of the contexts that were clicked, shape (features,).
    """

    squares: npt.NDArray[np.float64]
    clicked: npt.NDArray[np.float64]


class _Click(NamedTuple):
    time_us: int
    weight: int


@dataclass
class _Trial:
    item_id: str
    row: Sums
    time_us: int
    is_clicked: bool = False


@dataclass
class _Day:
    squares: Sums = field(default_factory=lambda: np.zeros((len(FEATURES), len(FEATURES)), dtype=np.int64))
    clicked: Sums = field(default_factory=lambda: np.zeros(len(FEATURES), dtype=np.int64))
    items: dict[str, tuple[int, int]] = field(default_factory=dict)


class Learning:
    """Folds impressions and the clicks on them, each once, whichever comes first."""

    def __init__(self, *, waiting_max: int = 100_000) -> None:
        """Start empty; waiting_max: clicks that wait for an impression at most, most being for lists not explored."""
        self.changes = 0
        self._waiting_max = waiting_max
        self._trials: dict[str, _Trial] = {}
        self._waiting: dict[tuple[str, str], _Click] = {}
        self._days: dict[int, _Day] = {}
        self._latest_us = 0

    def take(self, events: Sequence[Impression | Interaction], trust: Mapping[str, float], now: datetime) -> None:
        """Learn from a batch; trust: how much each shopper's events count, 1 where not given."""
        for event in events:
            weight = round(WHOLE * trust.get(event.user_id, 1.0))
            if isinstance(event, Impression):
                self._try(event, weight)
            elif event.recommendation_id is not None and event.kind in CLICKS:
                click = _Click(microseconds(event.occurred_at), weight)
                self._click(event.recommendation_id, event.item_id, click)
        self._latest_us = max(self._latest_us, *(microseconds(min(event.occurred_at, now)) for event in events), 0)
        self._forget(now)

    def evidence(self, now: datetime, *, kept_a_day: float) -> Evidence:
        """Return what was learned by now; kept_a_day: what a trial counts a day later."""
        squares, clicked = np.zeros((len(FEATURES), len(FEATURES))), np.zeros(len(FEATURES))
        for day, sums in self._kept(now):
            discount = _discount(kept_a_day, now, day)
            squares += discount * sums.squares
            clicked += discount * sums.clicked
        return Evidence(squares * (UNIT * UNIT / WHOLE), clicked * (UNIT / WHOLE))

    def trials(self, now: datetime, *, kept_a_day: float) -> dict[str, Trials]:
        """Return what was tried of each item, and of all together under the id ""; discounted as the evidence is."""
        counts: dict[str, Trials] = {}
        for day, sums in self._kept(now):
            unit = _discount(kept_a_day, now, day) / WHOLE
            for item_id, (shown, clicked) in sums.items.items():
                before = counts.get(item_id, Trials())
                counts[item_id] = Trials(before.shown + unit * shown, before.clicked + unit * clicked)
        return counts

    def _try(self, impression: Impression, weight: int) -> None:
        exploration = impression.exploration
        if exploration is None or impression.recommendation_id in self._trials:
            return
        contexts = exploration.contexts
        if not exploration.chosen < len(contexts) == len(exploration.pool):
            return
        context = contexts[exploration.chosen]
        if len(context) != len(FEATURES) or not np.isfinite(context).all():
            return
        row = in_units(np.array(context))
        trial = _Trial(exploration.pool[exploration.chosen], row, microseconds(impression.occurred_at))
        self._trials[impression.recommendation_id] = trial
        day = self._day(trial)
        day.squares += weight * np.outer(row, row)
        self._count(day, trial.item_id, shown=weight)
        click = self._waiting.pop((impression.recommendation_id, trial.item_id), None)
        if click is not None:
            self._reward(trial, click)

    def _click(self, recommendation_id: str, item_id: str, click: _Click) -> None:
        trial = self._trials.get(recommendation_id)
        if trial is None:
            self._waiting.setdefault((recommendation_id, item_id), click)
        elif trial.item_id == item_id:
            self._reward(trial, click)

    def _reward(self, trial: _Trial, click: _Click) -> None:
        if trial.is_clicked or click.time_us - trial.time_us > CLICK_WITHIN // _MICROSECOND:
            return
        trial.is_clicked = True
        day = self._day(trial)
        day.clicked += click.weight * trial.row
        self._count(day, trial.item_id, clicked=click.weight)

    def _count(self, day: _Day, item_id: str, *, shown: int = 0, clicked: int = 0) -> None:
        for key in (item_id, ""):
            before = day.items.get(key, (0, 0))
            day.items[key] = (before[0] + shown, before[1] + clicked)
        self.changes += 1

    def _day(self, trial: _Trial) -> _Day:
        return self._days.setdefault(trial.time_us // DAY_MICROSECONDS, _Day())

    def _forget(self, now: datetime) -> None:
        first_us = self._latest_us - REMEMBERED_FOR // _MICROSECOND
        while self._trials and next(iter(self._trials.values())).time_us < first_us:
            del self._trials[next(iter(self._trials))]
        while self._waiting and (
            next(iter(self._waiting.values())).time_us < first_us or len(self._waiting) > self._waiting_max
        ):
            del self._waiting[next(iter(self._waiting))]
        self._days = dict(self._kept(now))

    def _kept(self, now: datetime) -> list[tuple[int, _Day]]:
        return [(day, self._days[day]) for day in sorted(self._days) if day >= day_of(now) - DAYS_KEPT]


def _discount(kept_a_day: float, now: datetime, day: int) -> float:
    return kept_a_day ** max(0, day_of(now) - day)
