"""Days of payments like those a model was trained on, or like none of them."""

import random
from collections.abc import Callable
from datetime import timedelta

import numpy as np

from services.training.profile import profile_of
from shared.contracts.events import Event
from shared.models.profile import Profile
from tests.events import START
from tests.unit.drift.drift_scene import FEATURE_NAMES, decision, manifest, vector

DAYS = 45
PAYMENTS_A_DAY = 300
_DAY_US = 86_400_000_000
AMOUNTS, SHARES = [5.0, 15.0, 25.0], [0.25, 0.5, 0.25]

Amount = Callable[[random.Random], float]


def usual_amount(chance: random.Random) -> float:
    return chance.choices(AMOUNTS, SHARES)[0] + chance.random()


def profile() -> Profile:
    """Of DAYS days that end shortly before START: three amounts, and whether it is a weekend."""
    chance = np.random.default_rng(0)
    first_us = int(START.timestamp() * 1e6) // _DAY_US * _DAY_US - (DAYS + 2) * _DAY_US
    payments = DAYS * PAYMENTS_A_DAY
    times_us = first_us + np.arange(payments) * (_DAY_US // PAYMENTS_A_DAY)
    amounts = chance.choice(AMOUNTS, payments, p=SHARES) + chance.random(payments)
    weekends = (times_us // _DAY_US + 3) % 7 >= 5
    rows = np.stack([amounts, weekends], axis=1).astype(np.float32)
    return profile_of(manifest().references, FEATURE_NAMES, rows, times_us, {})


def day(number: int, *, amount: Amount = usual_amount) -> list[Event]:
    """The payments of a day, a tenth of them flagged; number: days after START."""
    chance = random.Random(number)
    events: list[Event] = []
    for place in range(PAYMENTS_A_DAY):
        after = (number + place / PAYMENTS_A_DAY) * timedelta(days=1)
        of = number * PAYMENTS_A_DAY + place
        weekend = float((START + after).weekday() >= 5)
        events.append(vector(of, amount=amount(chance), weekend=weekend, after=after))
        events.append(decision(of, flagged=place % 10 == 0, after=after))
    return events
