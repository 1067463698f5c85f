"""Whether shoppers still click what a recommender shows them."""

from collections import deque
from datetime import datetime, timedelta

from scipy.stats import beta

from services.drift.clicks import Shown
from services.drift.decision import Finding
from services.drift.fall import FallTest
from services.drift.settings import DriftSettings
from shared.models.manifest import RECOMMENDATION
from shared.runtime.metrics import DRIFT_STATISTIC

CLICK_THROUGH_SIGNAL = "click_through"
BASELINE_ERROR = 0.01
"""Probability that the level a version is held against is above its true one."""


class RecentShare:
    """Share of successes among the newest trials, shown on /metrics as `signal`."""

    def __init__(self, signal: str, window: int) -> None:
        self._signal = signal
        self._recent: deque[bool] = deque(maxlen=window)
        self._successes = 0

    def observe(self, *, success: bool) -> None:
        """Take in a trial."""
        if len(self._recent) == self._recent.maxlen:
            self._successes -= self._recent[0]
        self._recent.append(success)
        self._successes += success
        _publish(self._signal, self._successes / len(self._recent))


class ClickThrough:
    """Notices when a version's lists are clicked clearly less often than its first ones were.

    The first lists give the level to hold: the lower 99 % bound of their share of clicked ones (Clopper and Pearson,
    1934). From then on each list is a trial of a FallTest, whose bound on false alarms so holds in 99 of 100 versions.
    Lists of one shopper are not quite independent, and shoppers click by hour and day: the first lists should cover a
    day. Simulated with 2,000 first lists, of which a fifth is clicked, and a threshold of ln(20,000): a fall to 0.12 is
    noticed after 700 lists at the median, one to 0.05 after 280.
    """

    def __init__(self, version: int, settings: DriftSettings) -> None:
        """Start a version's watch."""
        self.version = version
        self._settings = settings
        self._since: datetime | None = None
        self._lists = 0
        self._clicked = 0
        self._test: FallTest | None = None
        self._level = 0.0
        self._share = RecentShare("click_through_share", settings.headrace_drift_click_through_window)

    def observe(self, shown: Shown) -> Finding | None:
        """Take in a list of this version whose time for clicks is over."""
        self._share.observe(success=shown.is_clicked)
        if self._test is None:
            self._learn(shown)
            return None
        self._test.observe(success=shown.is_clicked)
        _publish(CLICK_THROUGH_SIGNAL, self._test.statistic)
        return self._finding(self._test, shown.at) if self._test.fallen else None

    def _learn(self, shown: Shown) -> None:
        """Count one of the first lists; begin to test behind the last of them."""
        settings = self._settings
        self._since = self._since or shown.at
        self._lists += 1
        self._clicked += shown.is_clicked
        is_long_enough = shown.at - self._since >= timedelta(hours=settings.headrace_drift_baseline_hours)
        if is_long_enough and self._lists >= settings.headrace_drift_baseline_lists and self._clicked > 0:
            self._level = float(beta.ppf(BASELINE_ERROR, self._clicked, self._lists - self._clicked + 1))
            self._test = FallTest(
                self._level,
                fall=settings.headrace_drift_click_through_fall,
                false_alarm_trials=settings.headrace_drift_false_alarm_lists,
            )

    def _finding(self, test: FallTest, at: datetime) -> Finding:
        clicked, lists = test.successes_in_doubt, test.trials_in_doubt
        explanation = (
            f"Click-through has fallen: of the last {lists} lists that model {RECOMMENDATION} {self.version} chose, "
            f"{clicked} were clicked ({clicked / lists:.1%}); of its first {self._lists} lists "
            f"{self._clicked / self._lists:.1%} were, surely {self._level:.1%}. The evidence (CUSUM, "
            f"{test.statistic:.1f}) has reached the threshold ({test.threshold:.1f})."
        )
        return Finding(CLICK_THROUGH_SIGNAL, test.statistic, test.threshold, lists, at, explanation, harmful=True)


def _publish(signal: str, value: float) -> None:
    DRIFT_STATISTIC.labels(RECOMMENDATION, signal).set(value)
