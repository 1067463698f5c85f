"""A champion, and payments with scores and labels, as the drift service comes to know them."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

import numpy as np

from services.drift.champion import Champion
from services.drift.labels.payments import Payment
from services.drift.labels.performance import PerformanceWatch
from services.drift.settings import DriftSettings
from shared.models.manifest import Thresholds

START = datetime(2026, 1, 1, tzinfo=UTC)
THRESHOLD_DAYS = 182.6
DELAY = timedelta(days=7)
REVIEW = 0.3
HELD_OUT = {
    "recall": 0.71,
    "precision": 0.625,
    "fraud_rate": 0.02625,
    "mean_score": 0.02625,
    "auc_roc": 0.95,
    "expected_calibration_error": 0.001,
}


def champion(**fields: Any) -> Champion:
    defaults: dict[str, Any] = {
        "version": 1,
        "since_ms": 0,
        "feature_version": "f" * 64,
        "feature_names": ("amount",),
        "references": {},
        "profile": None,
        "thresholds": Thresholds(review=REVIEW, decline=0.9),
        "metrics": HELD_OUT,
        "intervals": {},
        "trained_until": START,
        "categories": {},
    }
    return Champion(**(defaults | fields))


def watch(segments: tuple[str, ...] = (), **fields: Any) -> PerformanceWatch:
    return PerformanceWatch(champion(**fields), segments, threshold_days=THRESHOLD_DAYS, settings=DriftSettings())


def payment(number: int, *, at: datetime = START, **fields: Any) -> Payment:
    defaults: dict[str, Any] = {
        "transaction_id": f"t{number}",
        "card_id": f"card-{number}",
        "version": 1,
        "at": at,
        "score": 0.5,
        "flagged": True,
        "places": (),
        "amount": 1_000,
    }
    return Payment(**(defaults | fields))


@dataclass(frozen=True)
class World:
    """Payments of a calibrated model: 3 % score .3 to .95, the others .0075 on average.

    burst: mean number of frauds that come together, on one card and day, caught or missed alike. missed: from day
    `changes_on` on, the share of frauds that would have been caught, in segment `place` (0: everywhere), but are not.
    labels_stop_on: no label comes from that day on.
    """

    days: int
    payments_a_day: int = 1_000
    burst: float = 1.0
    missed: float = 0.0
    changes_on: int = 10_000
    place: int = 0
    labels_stop_on: int = 10_000


class Happening(NamedTuple):
    at: datetime
    number: int
    kind: Literal["decided", "fraud", "matured"]
    payment: Payment


def payments(world: World, seed: int) -> Iterator[tuple[Payment, bool]]:
    """Yield payments with whether they are fraud, in order of time."""
    chance = np.random.default_rng(seed)
    number = 0
    for day in range(world.days):
        n = world.payments_a_day
        seconds = np.sort(chance.random(n)) * 86_400
        high = chance.random(n) < 0.03
        scores = np.where(high, chance.uniform(0.3, 0.95, n), chance.exponential(0.0075, n).clip(1e-5, 0.29))
        sizes = chance.geometric(1 / world.burst, n)
        # A fraud makes several payments, of which scores and shares hold.
        rows = world.burst * (1 - scores) + scores
        frauds = chance.random(n) < scores / rows
        fallen = (day >= world.changes_on) & (chance.random(n) < world.missed)
        places = chance.integers(1, 3, n)
        for row in np.flatnonzero(chance.random(n) < rows / world.burst).tolist():
            is_missed = fallen[row] and frauds[row] and world.place in (0, places[row])
            score = 0.002 if is_missed and scores[row] >= REVIEW else float(scores[row])
            for _ in range(int(sizes[row]) if frauds[row] else 1):
                number += 1
                yield (
                    Payment(
                        f"t{number}",
                        f"card-{day}-{row}",
                        1,
                        START + timedelta(days=day, seconds=float(seconds[row])),
                        score,
                        score >= REVIEW,
                        (int(places[row]),),
                        1_000,
                    ),
                    bool(frauds[row]),
                )


def happenings(world: World, seed: int) -> Iterator[Happening]:
    """Yield what happens to the payments in order of time: labels come within a week, exponentially, 2 days on average."""
    chance = np.random.default_rng(seed + 1_000_000)
    later: list[tuple[datetime, int, Literal["fraud", "matured"], Payment]] = []
    stop = START + timedelta(days=world.labels_stop_on)
    for number, (paid, is_fraud) in enumerate(payments(world, seed)):
        while later and later[0][0] <= paid.at:
            at, of, kind, known = heapq.heappop(later)
            if kind == "fraud":
                known.label = "fraud"
            yield Happening(at, of, kind, known)
        yield Happening(paid.at, number, "decided", paid)
        delay = timedelta(days=min(float(chance.exponential(2.0)), 6.9))
        if is_fraud and paid.at + delay < stop:
            heapq.heappush(later, (paid.at + delay, number, "fraud", paid))
        heapq.heappush(later, (paid.at + DELAY, number, "matured", paid))


def feed(watch: PerformanceWatch, happening: Happening) -> None:
    getattr(watch, happening.kind)(happening.payment)
