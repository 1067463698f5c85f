"""Whether shoppers still click what a recommender shows them."""

from datetime import datetime, timedelta

import numpy as np
from scipy.stats import beta

from services.drift.evidence import Evidence, Floats, by_chance, log_e_of_mean
from services.drift.finding import Finding
from services.drift.recommendation.clicks import RecentShare, Shown
from services.drift.settings import DriftSettings
from services.drift.signals import Signal
from shared.models.manifest import RECOMMENDATION

CLICK_THROUGH = "click_through"
BASELINE_ERROR = 0.01
"""Probability that the level a version is held against is above its true one."""
_FALLS = (0.4, 0.6, 0.8, 0.95)
"""Parts lost that are bet on beside the smallest, which is a setting."""
_PART_HOURS = 4
_PARTS = 24 // _PART_HOURS
_STAKE_DAYS_MAX = 7.0
"""After a longer silence nothing is known of the days without lists."""
_LEVEL_MAX = 0.999
_SATURDAY = 5


class StakeClock:
    """How many days of event time have passed since it was last asked; time that runs backwards has not passed."""

    def __init__(self, since: datetime) -> None:
        self._newest = since

    def passed(self, at: datetime) -> float:
        """Return the days from the newest time so far to `at`; of a silence, a week at most."""
        days = (at - self._newest) / timedelta(days=1)
        self._newest = max(self._newest, at)
        return min(max(days, 0.0), _STAKE_DAYS_MAX)


class FirstLists:
    """The first lists of a version, which tell how often it is clicked, by the part of the day (UTC).

    levels: what each part of the day is held against, shape (parts,); None while there are too few lists.
    """

    def __init__(self, since: datetime, *, lists_min: int, lasting: timedelta) -> None:
        """Start without a list; there are enough with `lists_min` of them, one clicked at least, over such a time."""
        self.levels: Floats | None = None
        self._until = since + lasting
        self._lists_min = lists_min
        self._shown = np.zeros(_PARTS)
        self._clicked = np.zeros(_PARTS)

    def observe(self, shown: Shown) -> None:
        """Count one of them."""
        part = part_of_day(shown.at)
        self._shown[part] += 1
        self._clicked[part] += shown.is_clicked
        if shown.at >= self._until and self.shown >= self._lists_min and self.clicked > 0:
            self.levels = self._levels()

    @property
    def shown(self) -> int:
        """How many there are."""
        return int(self._shown.sum())

    @property
    def clicked(self) -> int:
        """How many of them were clicked."""
        return int(self._clicked.sum())

    def level(self) -> float:
        """Return the share that is clicked at least, but for BASELINE_ERROR (Clopper and Pearson, 1934)."""
        return float(beta.ppf(BASELINE_ERROR, self.clicked, self.shown - self.clicked + 1))

    def _levels(self) -> Floats:
        """Return that share by the part of the day, shape (parts,).

        How far parts differ is drawn towards "not at all" by as much as chance alone would explain of it (the empirical
        Bayes estimate of James and Stein in its unequal-variance form: Efron and Morris, 1975), and lowered by the
        standard deviation that is left. A part that nobody was seen in is held against the lowest.
        """
        whole = self.clicked / self.shown
        noise = whole * (1 - whole) / np.maximum(self._shown, 1)
        shares = np.where(self._shown > 0, self._clicked / np.maximum(self._shown, 1), whole)
        freedom = self.shown - (self._shown**2).sum() / self.shown
        seen = np.count_nonzero(self._shown)
        excess = (self._shown * (shares - whole) ** 2).sum() - (seen - 1) * whole * (1 - whole)
        between = max(excess / freedom, 0.0) if freedom > 0 else 0.0
        spread = between + noise
        trust = np.divide(between, spread, out=np.zeros(_PARTS), where=spread > 0)
        drawn = whole + trust * (shares - whole) - np.sqrt(trust * noise)
        drawn[self._shown == 0] = drawn.min()
        levels: Floats = np.clip(self.level() * drawn / whole, 1e-6, _LEVEL_MAX)
        return levels


class ClickThrough:
    """Notices when a version's lists are clicked clearly less often than its first ones were.

    The first lists give the level to hold; those of weekends are learnt, and judged, apart. From then on each list is a
    bet on a fall (services/drift/evidence.py): while the share of clicked lists is at or above that level, false alarms
    are as rare as the budget says in 99 of 100 versions. Lists of one shopper are not quite independent, and shoppers
    click by the hour: the first lists should cover a day.
    """

    name = CLICK_THROUGH

    def __init__(self, version: int, settings: DriftSettings, *, threshold_days: float) -> None:
        """Start a version's watch; evidence of `threshold_days` is a finding."""
        self.version = version
        self._settings = settings
        self._threshold_days = threshold_days
        self._first: dict[bool, FirstLists] = {}
        self._stakes: StakeClock | None = None
        smallest = settings.headrace_drift_click_through_fall
        self._left = 1 - np.array([smallest, *(fall for fall in _FALLS if fall > smallest)])
        self._evidence = Evidence(np.full(len(self._left), 1 / len(self._left)))
        self._doubt = Doubt(len(self._left))
        self._recent = RecentShare(settings.headrace_drift_click_through_window)

    def observe(self, shown: Shown) -> None:
        """Take in a list of this version whose time for clicks is over."""
        self._recent.observe(success=shown.is_clicked)
        first = self._first_of(shown.at)
        if first.levels is None:
            first.observe(shown)
            return
        self._stakes = self._stakes or StakeClock(shown.at)
        days = self._stakes.passed(shown.at)
        if days > 0:
            self._evidence.stake(days)
        level = float(first.levels[part_of_day(shown.at)])
        log_e = log_e_of_mean(float(shown.is_clicked), level, level * self._left)
        self._evidence.observe(log_e, shown.at)
        self._doubt.observe(log_e, level, shown)

    def findings(self) -> list[Finding]:
        """Return the fall, where the evidence suffices."""
        return [self._finding()] if self._has_fallen else []

    def signals(self) -> list[Signal]:
        """Return the one watch there is."""
        is_learning, days = not self._learnt, self._evidence.days
        return [
            Signal(
                name=CLICK_THROUGH,
                kind="performance",
                state="learning" if is_learning else "alarmed" if self._has_fallen else "quiet",
                value=self._recent.share,
                expected=None if is_learning else self._expected(),
                evidence_days=days,
                threshold_days=self._threshold_days,
                samples=self._doubt.lists(self._loudest),
                since=self._evidence.since(self._loudest),
                note=self._still_learning(),
            )
        ]

    def reset(self) -> None:
        """Forget the evidence, as after a request that was answered without a better model."""
        self._evidence.reset()
        self._doubt = Doubt(len(self._left))

    @property
    def _has_fallen(self) -> bool:
        """Whether the evidence suffices; without lists it only tells that time has passed."""
        bet = self._loudest
        return self._evidence.days >= self._threshold_days and self._doubt.clicked(bet) < self._doubt.expected(bet)

    @property
    def _loudest(self) -> int:
        return int(np.argmax(self._evidence.weighted_days))

    @property
    def _learnt(self) -> list[FirstLists]:
        return [first for first in self._first.values() if first.levels is not None]

    def _first_of(self, at: datetime) -> FirstLists:
        """Return the first lists of weekends, or of other days."""
        is_weekend = at.weekday() >= _SATURDAY
        if is_weekend not in self._first:
            lasting = timedelta(hours=self._settings.headrace_drift_baseline_hours)
            lists_min = self._settings.headrace_drift_baseline_lists
            self._first[is_weekend] = FirstLists(at, lists_min=lists_min, lasting=lasting)
        return self._first[is_weekend]

    def _expected(self) -> float:
        """Return the share that has to be clicked, over all first lists."""
        learnt = self._learnt
        return sum(first.level() * first.shown for first in learnt) / sum(first.shown for first in learnt)

    def _still_learning(self) -> str:
        """Tell what it does not judge yet; empty where it judges everything it has met."""
        learning = {kind: first for kind, first in self._first.items() if first.levels is None}
        if self._first and not learning:
            return ""
        settings = self._settings
        shown, clicked = sum(it.shown for it in learning.values()), sum(it.clicked for it in learning.values())
        of = " at weekends" if self._learnt and True in learning else " on weekdays" if self._learnt else ""
        return (
            f"learns how often it is clicked{of}, from {settings.headrace_drift_baseline_lists:,} lists over "
            f"{settings.headrace_drift_baseline_hours:g} hours at least: {shown:,} so far, {clicked:,} of them clicked"
        )

    def _finding(self) -> Finding:
        bet, days = self._loudest, self._evidence.days
        since, newest = self._evidence.since(bet), self._doubt.newest
        assert newest is not None  # noqa: S101 - there is evidence
        lists, clicked, expected = self._doubt.lists(bet), self._doubt.clicked(bet), self._doubt.expected(bet)
        first_lists, first_clicked = sum(it.shown for it in self._learnt), sum(it.clicked for it in self._learnt)
        explanation = (
            f"Click-through has fallen: of the {lists:,} lists that model {RECOMMENDATION} {self.version} chose since "
            f"{since:%Y-%m-%d %H:%M} UTC, {clicked:,} were clicked ({clicked / lists:.1%}); by its first "
            f"{first_lists:,} lists, {first_clicked / first_lists:.1%} of which were, it had to be "
            f"{expected / lists:.1%} at least. While all is well so much evidence comes up {by_chance(days)}."
        )
        return Finding(
            kind="performance",
            signal=CLICK_THROUGH,
            segment=None,
            statistic=days,
            threshold=self._threshold_days,
            samples=lists,
            at=newest,
            since=since,
            explanation=explanation,
        )


class Doubt:
    """What was seen since each bet stood lowest, that is since what it bets on seems to have begun."""

    def __init__(self, bets: int) -> None:
        self.newest: datetime | None = None
        self._seen = np.zeros(3)
        self._path = np.zeros(bets)
        self._lowest = np.zeros(bets)
        self._before = np.zeros((bets, 3))

    def observe(self, log_e: Floats, expected: float, shown: Shown) -> None:
        """Count a list that was expected to be clicked with that probability; log_e: of each bet."""
        self._seen += (1, shown.is_clicked, expected)
        self.newest = shown.at if self.newest is None else max(self.newest, shown.at)
        self._path += log_e
        lowest = self._path <= self._lowest
        self._lowest[lowest] = self._path[lowest]
        self._before[lowest] = self._seen

    def lists(self, bet: int) -> int:
        """Return how many lists there were."""
        return int(self._since(bet)[0])

    def clicked(self, bet: int) -> int:
        """Return how many of them were clicked."""
        return int(self._since(bet)[1])

    def expected(self, bet: int) -> float:
        """Return how many had to be clicked at least."""
        return float(self._since(bet)[2])

    def _since(self, bet: int) -> Floats:
        since: Floats = self._seen - self._before[bet]
        return since


def part_of_day(at: datetime) -> int:
    """Return which part of the day (UTC) a time lies in, from 0."""
    return at.hour // _PART_HOURS
