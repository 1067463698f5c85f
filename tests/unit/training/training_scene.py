"""A small world to train on: large amounts are fraud, some that are large only for their card, and later a new pattern.

No feature alone tells all frauds. From `new_pattern_from_day` on, many small payments of busy cards are fraud too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from services.training.archive import Archive
from services.training.settings import TrainingSettings
from shared.bus.base import Record
from shared.contracts import codec
from shared.contracts.events import Event, FeatureVector, Label
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import FEATURES, LABELS, Topic
from shared.features.catalog.fraud import FRAUD
from shared.runtime.loop import Delivery
from tests.events import FRESH, START, TRACE_ID, label, payment

DAY = timedelta(days=1)
AMOUNT = FRAUD.feature_names.index("amount")
COUNT = FRAUD.feature_names.index("card_count_1d")
RATIO = FRAUD.feature_names.index("card_amount_to_mean_30d")
CODES = (2, 7, 30)
"""How many channels, countries and merchant categories payments fall into."""


def settings(home: Path, **changes: Any) -> TrainingSettings:
    small: dict[str, Any] = {
        "headrace_home": home,
        "headrace_training_label_delay_days": 2.0,
        "headrace_training_rows_min": 200,
        "headrace_training_families": "random_forest",
        "headrace_training_search_seconds": 0.0,
        "headrace_training_folds": 1,
        "headrace_training_slices": 2,
        "headrace_training_jobs": 1,
    }
    return TrainingSettings(**(small | {f"headrace_training_{name}": value for name, value in changes.items()}))


def vector(
    transaction_id: str, *, after: timedelta = timedelta(), values: Sequence[float] = (), **fields: Any
) -> FeatureVector:
    event = payment(transaction_id, after=after, **fields)
    return FeatureVector(
        event_id=derived_event_id(event.occurred_at, "features", transaction_id),
        occurred_at=event.occurred_at,
        trace_id=TRACE_ID,
        transaction=event,
        feature_set=FRAUD.name,
        feature_version=FRAUD.version,
        values=[*values] or [1.0] * len(FRAUD.features),
        freshness=FRESH,
    )


@dataclass
class World:
    """Payments and labels, dealt out as the log would."""

    vectors: list[FeatureVector]
    labels: list[Label]

    def deliveries(self) -> list[Delivery]:
        return [*delivered(FEATURES, self.vectors), *delivered(LABELS, self.labels)]


def world(
    *, days: float, first_day: float = 0, a_day: int = 100, new_pattern_from_day: float = 1e9, seed: int = 0
) -> World:
    rng = np.random.default_rng([seed, int(first_day)])
    vectors, labels = [], []
    for at in np.sort(rng.uniform(first_day, first_day + days, int(days * a_day))):
        values = rng.gamma(2.0, 20.0, len(FRAUD.features))
        values[FRAUD.categories] = 3 * rng.integers(CODES)
        kind = rng.random()
        if kind < 0.1:
            values[AMOUNT] = rng.uniform(300, 500)
        elif kind < 0.112:
            values[RATIO] = rng.uniform(300, 500)
        elif kind < 0.25 and at >= new_pattern_from_day:
            values[COUNT] = rng.uniform(300, 500)
        fraud = (values[[AMOUNT, RATIO, COUNT]] >= 300).any()
        made = vector(
            f"t{at:.9f}",
            after=at * DAY,
            values=values.tolist(),
            card_id=f"card-{int(at * 1e6) % 50}",
            amount=round(values[AMOUNT]),
        )
        # Values drawn at random are not what the payments before give; a vector that says so is not held to it.
        vectors.append(msgspec.structs.replace(made, degraded=["incomplete"]))
        if fraud:
            labels.append(label(made.transaction, known_after=DAY))
    return World(vectors, labels)


def delivered(topic: Topic, events: Sequence[Event], *, partition: int = 0, first_offset: int = 0) -> list[Delivery]:
    return [
        Delivery(record(topic, event, partition=partition, offset=first_offset + at), event)
        for at, event in enumerate(events)
    ]


def record(topic: Topic, event: Event, *, partition: int = 0, offset: int = 0, produced_ms: int = 0) -> Record:
    return Record(topic.name, partition, offset, topic.key_of(event).encode(), codec.encode(event), produced_ms)


def archive(home: Path) -> Archive:
    return Archive(home / "archive", [FRAUD])


def start_date() -> date:
    return START.date()
