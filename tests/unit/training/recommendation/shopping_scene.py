"""A small shop to train on: two tastes, and in each one item leads to the next; and its archive."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from services.training.recommendation.interactions import Interactions, read_interactions
from services.training.settings import TrainingSettings
from shared.contracts.ids import derived_event_id
from shared.contracts.shopping import Interaction, Item, User
from shared.contracts.topics import INTERACTIONS, ITEMS, USERS
from tests.events import START, TRACE_ID
from tests.unit.training.training_scene import archive, delivered

ITEMS_A_TASTE = 20
DAY = timedelta(days=1)
NOW = START + 60 * DAY


def settings(home: Path, **changes: Any) -> TrainingSettings:
    small: dict[str, Any] = {
        "headrace_home": home,
        "headrace_training_interactions_min": 100,
        "headrace_training_shoppers_min": 20,
        "headrace_training_segment_shoppers_min": 5,
        "headrace_training_blend_seconds": 2.0,
        "headrace_training_jobs": 1,
    }
    return TrainingSettings(**(small | {f"headrace_training_{name}": value for name, value in changes.items()}))


def touch(user_id: str, item_id: str, *, at: datetime = START, name: str = "", **fields: Any) -> Interaction:
    """Return an interaction; `name` tells it from others of the same shopper, item and time."""
    defaults: dict[str, Any] = {
        "event_id": derived_event_id(at, "interactions", user_id, item_id, name),
        "occurred_at": at,
        "trace_id": TRACE_ID,
        "user_id": user_id,
        "item_id": item_id,
        "kind": "view",
    }
    return Interaction(**(defaults | fields))


def item(item_id: str, *, at: datetime = START, **fields: Any) -> Item:
    event_id = derived_event_id(at, "items", item_id)
    return Item(event_id=event_id, occurred_at=at, trace_id=TRACE_ID, item_id=item_id, **fields)


def user(user_id: str, *, at: datetime = START, **fields: Any) -> User:
    event_id = derived_event_id(at, "users", user_id)
    return User(event_id=event_id, occurred_at=at, trace_id=TRACE_ID, user_id=user_id, **fields)


def visits(
    *, shoppers: int = 80, touches: int = 12, first_day: float = 0, days: float = 20, step: int = 1, seed: int = 0
) -> list[Interaction]:
    """Return what shoppers of two tastes do: mostly on to the item `step` after the last one of their taste."""
    random = np.random.default_rng([seed, int(first_day)])
    events = []
    for shopper in range(shoppers):
        taste, place = shopper % 2, int(random.integers(ITEMS_A_TASTE))
        for at in np.sort(random.uniform(first_day, first_day + days, touches)):
            place = (place + step) % ITEMS_A_TASTE if random.random() < 0.8 else int(random.integers(ITEMS_A_TASTE))
            when = START + timedelta(days=float(at))
            events.append(touch(f"shopper-{shopper:03}", f"item-{taste}-{place:02}", at=when))
    return events


def archived(home: Path, interactions: Sequence[Interaction], *, first_offset: int = 0) -> None:
    archive(home).write(delivered(INTERACTIONS, interactions, first_offset=first_offset))


def known(home: Path, *, items: Sequence[Item] = (), users: Sequence[User] = ()) -> None:
    """Archive what is known of items and users."""
    if items:
        archive(home).write(delivered(ITEMS, items))
    if users:
        archive(home).write(delivered(USERS, users))


def read(home: Path, *, now: datetime = NOW, **changes: Any) -> Interactions:
    return read_interactions(archive(home), settings(home, **changes), now=now)
