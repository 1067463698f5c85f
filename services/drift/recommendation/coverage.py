"""Whether a recommender still shows as much of the catalogue as it did at first."""

from datetime import datetime, timedelta

import numpy as np
from scipy.stats import t as student

from services.drift.evidence import Evidence, by_chance, log_e_of_p
from services.drift.finding import Finding
from services.drift.recommendation.click_through import StakeClock
from services.drift.recommendation.clicks import Shown
from services.drift.settings import DriftSettings
from services.drift.signals import Signal, State
from shared.models.manifest import RECOMMENDATION

COVERAGE = "coverage"
_REFERENCE_BLOCKS = 20
"""The first lists make so many blocks at least; each later one is held against them."""
_REFERENCE_BLOCKS_MAX = 100
_SPREAD_MIN = 0.01
"""Of the logarithm: blocks that happened to be all alike tell too little of how alike blocks are."""


class Coverage:
    """Notices when lists show clearly fewer items, or clearly more, than a version's first ones did.

    Lists are taken in blocks of equal length. How many items a block shows, as a logarithm, is held against the first
    blocks by the prediction interval of Student's t, and its p-value bet on (services/drift/evidence.py). What has
    moved by less than the fall of click-through that matters is not alarmed.
    """

    name = COVERAGE

    def __init__(self, version: int, settings: DriftSettings, *, threshold_days: float) -> None:
        """Start a version's watch; evidence of `threshold_days` is a finding."""
        self.version = version
        self._baseline_hours = settings.headrace_drift_baseline_hours
        self._block_lists = max(settings.headrace_drift_baseline_lists // _REFERENCE_BLOCKS, 1)
        self._moved_min = settings.headrace_drift_click_through_fall
        self._threshold_days = threshold_days
        self._evidence = Evidence(np.ones(1))
        self._items: set[str] = set()
        self._lists = 0
        self._since: datetime | None = None
        self._at: datetime | None = None
        self._reference: list[int] = []
        self._every, self._skipped = 1, 0
        self._stakes: StakeClock | None = None
        self._recent: list[int] = []

    def observe(self, shown: Shown) -> None:
        """Take in a list of this version."""
        self._since = self._since or shown.at
        self._at = shown.at if self._at is None else max(self._at, shown.at)
        self._items |= shown.items
        self._lists += 1
        if self._lists == self._block_lists:
            self._close(len(self._items), self._at)
            self._items, self._lists = set(), 0

    def findings(self) -> list[Finding]:
        """Return the change, where the evidence suffices and it is large enough to matter."""
        return [self._finding()] if self._state() == "alarmed" else []

    def signals(self) -> list[Signal]:
        """Return the one watch there is."""
        state = self._state()
        return [
            Signal(
                name=COVERAGE,
                kind="data",
                state=state,
                value=self._now(),
                expected=None if state == "learning" else self._usual(),
                evidence_days=self._evidence.days,
                threshold_days=self._threshold_days,
                samples=len(self._recent) * self._block_lists,
                since=self._evidence.since(0),
                note=f"different items in {self._block_lists:,} lists",
            )
        ]

    @property
    def ratio(self) -> float | None:
        """How many items are shown, against what the first lists showed; None while that is not known."""
        now = self._now()
        return None if now is None else now / self._usual()

    def reset(self) -> None:
        """Forget the evidence, as after a request that was answered without a better model."""
        self._evidence.reset()

    def _close(self, items: int, at: datetime) -> None:
        if self._stakes is None:
            self._learn(items, at)
            return
        days = self._stakes.passed(at)
        if days > 0:
            self._evidence.stake(days)
        began = self._evidence.since(0)
        self._evidence.observe(log_e_of_p(np.array([self._p(items)])), at)
        # As long as what is seen speaks for it, it is one change.
        self._recent = [items] if self._evidence.since(0) != began else [*self._recent[-_REFERENCE_BLOCKS:], items]

    def _learn(self, items: int, at: datetime) -> None:
        """Count one of the first blocks; of ever more that the hours hold, ever fewer stay, evenly spread."""
        self._skipped = (self._skipped + 1) % self._every
        if self._skipped == 0:
            self._reference.append(items)
        if len(self._reference) > _REFERENCE_BLOCKS_MAX:
            self._reference, self._every = self._reference[1::2], 2 * self._every
        is_long_enough = self._since is not None and at - self._since >= timedelta(hours=self._baseline_hours)
        if is_long_enough and len(self._reference) >= _REFERENCE_BLOCKS:
            self._stakes = StakeClock(at)

    def _p(self, items: int) -> float:
        """Return how likely a block is so far from the first ones, on either side."""
        logs = np.log(self._reference)
        blocks = len(logs)
        spread = max(float(logs.std(ddof=1)), _SPREAD_MIN) * np.sqrt(1 + 1 / blocks)
        return float(2 * student.sf(abs(np.log(items) - logs.mean()) / spread, blocks - 1))

    def _state(self) -> State:
        if self._stakes is None:
            return "learning"
        has_moved = self.ratio is not None and abs(self.ratio - 1) >= self._moved_min
        return "alarmed" if has_moved and self._evidence.days >= self._threshold_days else "quiet"

    def _usual(self) -> float:
        return float(np.exp(np.mean(np.log(self._reference))))

    def _now(self) -> float | None:
        return float(np.exp(np.mean(np.log(self._recent)))) if self._recent else None

    def _finding(self) -> Finding:
        now, usual, days, since = self._now(), self._usual(), self._evidence.days, self._evidence.since(0)
        assert now is not None  # noqa: S101 - there is evidence
        assert self._at is not None  # noqa: S101 - likewise
        word = "less" if now < usual else "more"
        explanation = (
            f"Model {RECOMMENDATION} {self.version} shows {word} of the catalogue: {self._block_lists:,} lists hold "
            f"{now:,.0f} different items since {since:%Y-%m-%d %H:%M} UTC; its first lists held {usual:,.0f}. "
            f"While all is well so much evidence comes up {by_chance(days)}."
        )
        return Finding(
            kind="data",
            signal=COVERAGE,
            segment=None,
            statistic=days,
            threshold=self._threshold_days,
            samples=len(self._recent) * self._block_lists,
            at=self._at,
            since=since,
            explanation=explanation,
        )
