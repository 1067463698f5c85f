"""How large the demo is, how long it may take, and when it has gone well."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from services.local.simulation.shop_world import ShopConfig
from services.local.simulation.simulator import SimulatorConfig
from shared.runtime.clock import Clock


class DemoError(Exception):
    """Something that the demo shows did not happen; the message says what and by when it should have."""


_WORLD = SimulatorConfig(cards=500, merchants=1_000, bursts_daily=0.006, label_delay=timedelta(hours=10))
_SHOP = ShopConfig(items=240, categories=8, shoppers=1_000)


@dataclass(frozen=True)
class DemoPlan:
    """Every number of the demo.

    world: about two payments a card and simulated day, so about three seconds a day at the live rate.
    recovered_frauds: so many payments of the new pattern the new model must have decided before it is judged.
    recall_change_min: so far recall must fall with the new pattern, and rise again with the new model.
    precision_min: what the new model's alerts must keep to; a model that flags everything recalls everything.
    shop: None leaves recommendations out.
    visits_per_second: of shoppers, each of whom asks what to look at.
    recovered_lists: so many lists the new recommender must have chosen before it is judged.
    click_through_change_min: so far click-through must fall with the change of taste, and rise with a new recommender.
    """

    world: SimulatorConfig = _WORLD
    history_payments: int = 40_000
    history_batch: int = 500
    shop_batch: int = 1_000
    live_payments_per_second: int = 300
    before_seconds: int = 20
    recovered_frauds: int = 150
    recall_change_min: float = 0.15
    precision_min: float = 0.4
    sliding_window_payments: int = 3_000
    shop: ShopConfig | None = _SHOP
    shop_history: timedelta = timedelta(days=28)
    visits_per_second: float = 15.0
    recovered_lists: int = 200
    click_through_change_min: float = 0.05
    sliding_window_lists: int = 300

    history_seconds_max: float = 120.0
    training_seconds_max: float = 90.0
    notice_seconds_max: float = 60.0
    recovery_seconds_max: float = 400.0
    settling_seconds_max: float = 30.0
    quiet_seconds: float = 2.0

    @property
    def settings(self) -> dict[str, str]:
        """Environment of the services, for a world in which a day takes three seconds.

        Labels come within ten simulated hours. A new model must be there within seconds, beside live traffic on two
        cores. Drift asks for one once 100 frauds since the change are labelled, which leaves something to learn from;
        it is tried on some thousand payments before it decides them all. What is shown is retraining, so recalibration
        is off. Shoppers live by the wall clock: whether lists are clicked less is told half a minute later, since the
        new taste must be known long enough for a part of it to be learned, and a part to be foretold.
        """
        return {
            "HEADRACE_TRAINING_LABEL_DELAY_DAYS": "0.45",
            "HEADRACE_TRAINING_FAMILIES": "gradient_boosting",
            "HEADRACE_TRAINING_SEARCH_SECONDS": "0",
            "HEADRACE_TRAINING_SLICES": "4",
            "HEADRACE_TRAINING_JOBS": "1",
            "HEADRACE_TRAINING_INTERVAL_SECONDS_MIN": "0",
            "HEADRACE_TRAINING_REVIEW_COST_MINOR_UNITS": "1500",
            "HEADRACE_TRAINING_ARCHIVE_LINGER_SECONDS": "1.0",
            "HEADRACE_TRAINING_BLEND_SECONDS": "5",
            "HEADRACE_TRAINING_SHADOW_PAYMENTS": "1500",
            "HEADRACE_TRAINING_CANARY_SHARE": "0.2",
            "HEADRACE_TRAINING_CANARY_PAYMENTS": "300",
            "HEADRACE_TRAINING_WATCH_PAYMENTS": "3000",
            "HEADRACE_TRAINING_ROLLOUT_INTERVAL_SECONDS": "2",
            "HEADRACE_TRAINING_RECALIBRATION_INTERVAL_SECONDS": "0",
            "HEADRACE_DRIFT_LABEL_DELAY_DAYS": "0.45",
            "HEADRACE_DRIFT_FRESH_FRAUDS_MIN": "100",
            "HEADRACE_DRIFT_COOLDOWN_SECONDS": "90",
            "HEADRACE_DRIFT_CLICK_WINDOW_SECONDS": "25",
            "HEADRACE_DRIFT_BASELINE_LISTS": "300",
            "HEADRACE_DRIFT_BASELINE_HOURS": "0",
        }


DEMO_PLAN = DemoPlan()
"""What `headrace demo` runs."""


class Deadline:
    """How long something may take, and what it was."""

    def __init__(self, clock: Clock, seconds_max: float, what: str) -> None:
        self._clock = clock
        self._started = clock.monotonic_seconds()
        self._seconds_max = seconds_max
        self._what = what

    @property
    def elapsed_seconds(self) -> float:
        """Since the deadline was set."""
        return self._clock.monotonic_seconds() - self._started

    def check(self, so_far: Callable[[], str] = lambda: "") -> None:
        """Raise DemoError when it is over; `so_far` tells how far it had come."""
        if self.elapsed_seconds > self._seconds_max:
            detail = so_far()
            raise DemoError(f"{self._what} within {self._seconds_max:.0f} s" + (f": {detail}" if detail else ""))
