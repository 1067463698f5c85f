"""A recommender in service, the lists it chose and the clicks on them, as the drift service reads them."""

import random
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from services.drift.recommendation.handlers import RecommendationMonitor
from services.drift.settings import DriftSettings
from shared.contracts.events import Event, ModelEvent
from shared.contracts.ids import derived_event_id
from shared.contracts.shopping import Impression, Interaction, ShownItem
from shared.runtime.clock import ManualClock
from tests.events import START, TRACE_ID
from tests.unit.drift.drift_scene import NOW, Log, decoded, promotion

WINDOW_SECONDS = 60
FIRST_LISTS = 400
BATCH_LISTS = 20
SETTINGS: dict[str, Any] = {
    "headrace_drift_click_window_seconds": WINDOW_SECONDS,
    "headrace_drift_baseline_lists": FIRST_LISTS,
    "headrace_drift_baseline_hours": 0,
}


def impression(number: int, *, version: int = 1, **fields: Any) -> Impression:
    defaults: dict[str, Any] = {
        "event_id": derived_event_id(START, "impression", str(number)),
        "occurred_at": START + timedelta(seconds=number),
        "trace_id": TRACE_ID,
        "recommendation_id": f"r{number}",
        "user_id": f"shopper-{number % 50}",
        "items": [ShownItem(item_id=f"item-{place}", score=1.0, propensity=1.0) for place in range(5)],
        "model_name": "recommendation",
        "model_version": version,
    }
    return Impression(**(defaults | fields))


def click(number: int, **fields: Any) -> Interaction:
    defaults: dict[str, Any] = {
        "event_id": derived_event_id(START, "click", str(number)),
        "occurred_at": START + timedelta(seconds=number + 1),
        "trace_id": TRACE_ID,
        "user_id": f"shopper-{number % 50}",
        "item_id": "item-3",
        "kind": "view",
        "recommendation_id": f"r{number}",
    }
    return Interaction(**(defaults | fields))


def reco_promotion(version: int = 1, **fields: Any) -> ModelEvent:
    return promotion(version, model_name="recommendation", **fields)


class Shop(Log):
    """A monitor, and a log before it on which lists and clicks come to pass."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.clock = ManualClock(NOW)
        self.monitor = RecommendationMonitor(DriftSettings(**(SETTINGS | settings)), self.clock)
        self._shown = 0
        self._chance = random.Random(1)

    def feed(self, events: Iterable[Event]) -> list[Event]:
        return decoded(self.monitor(self.deliveries(events)))

    def lists(self, count: int, click_through: float, **fields: Any) -> list[Event]:
        """Show `count` lists, that share of which is clicked, and wait until their time is over."""
        answers: list[Event] = []
        for first in range(self._shown, self._shown + count, BATCH_LISTS):
            batch: list[Event] = []
            for number in range(first, min(first + BATCH_LISTS, self._shown + count)):
                batch.append(impression(number, **fields))
                if self._chance.random() < click_through:
                    batch.append(click(number))
            answers += self.feed(batch)
        self._shown += count
        return answers + self.wait()

    def wait(self, seconds: float = WINDOW_SECONDS) -> list[Event]:
        """Let time pass, in which somebody else looks at something."""
        self.now_ms += int(seconds * 1000)
        return self.feed([click(-1, user_id="passer-by", recommendation_id=None)])
