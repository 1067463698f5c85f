"""How the cost of a payment's features grows: with the events in its windows, and with the number of cards."""

import random
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import redis
from rich.progress import track

from shared.contracts.events import Transaction
from shared.features.catalog.fraud import FRAUD
from shared.features.engine import Arrival, FeatureEngine
from shared.features.state import log_origin, payment_records
from shared.store.redis import RedisStore
from tests.benchmarks.report import Figure
from tests.events import payment

EVENTS_EACH = (10, 100, 1_000, 10_000)
CARDS_EACH = (1_000, 100_000, 1_000_000)
CALLS = 600
EVENTS_FILLED = 20_000
_START = datetime(2026, 1, 1, tzinfo=UTC)
_WRITTEN_AT_ONCE = 10_000


def growth(store: RedisStore, url: str) -> list[Figure]:
    """Return p50 of one payment from its caller by events in its card's, merchant's and device's windows; by cards."""
    engine = FeatureEngine(FRAUD)
    client = redis.Redis.from_url(url)
    figures = []
    figures += by_events(engine, store)
    chance = random.Random(1)
    for count in CARDS_EACH:
        client.flushall()
        fill(client, count)
        calls = [
            _payment(
                n,
                f"card-{chance.randrange(count)}",
                f"merchant-{chance.randrange(count)}",
                timedelta(days=1, seconds=n),
            )
            for n in range(CALLS)
        ]
        figures.append(
            Figure(f"us_at_{count}_cards", f"one payment, {count:,} cards, p50 us", timed(engine, store, calls))
        )
    client.close()
    return figures


def by_events(engine: FeatureEngine, store: RedisStore) -> list[Figure]:
    """Return p50 by events in the windows; one call of each in turn, so that a busy machine slows all alike."""
    # Calls go round so many entities that they hardly add to what is in a window.
    entities = {count: max(1, min(CALLS, EVENTS_FILLED // count)) for count in EVENTS_EACH}
    for count, names in entities.items():
        for name in range(names):
            times = [number * timedelta(days=29) / count for number in range(count)]
            own = f"{count}-{name}"
            apply(engine, store, [_payment(f"{own}-{at}", own, own, after) for at, after in enumerate(times)])
    took: dict[int, list[float]] = {count: [] for count in EVENTS_EACH}
    for n in range(CALLS):
        for count, names in entities.items():
            own = f"{count}-{n % names}"
            call = _payment(f"call-{count}-{n}", own, own, timedelta(days=29, seconds=n))
            took[count].append(timed(engine, store, [call]))
    return [
        Figure(
            f"us_at_{count}_events", f"one payment, {count:,} events in each window, p50 us", float(np.median(found))
        )
        for count, found in took.items()
    ]


def apply(engine: FeatureEngine, store: RedisStore, payments: list[Transaction]) -> None:
    for first in range(0, len(payments), 500):
        plan = engine.plan(
            [Arrival(p, log_origin(0, first + at)) for at, p in enumerate(payments[first : first + 500])]
        )
        states = store.append_and_read(plan.appends, plan.reads, expire_after=engine.state_lifetime)
        for key, state in zip(plan.reads, states, strict=True):
            smaller = engine.rewritten(key, state, asked_us=plan.oldest_us)
            if smaller is not None:
                store.replace_prefix(key, prefix=state, replacement=smaller)


def timed(engine: FeatureEngine, store: RedisStore, payments: list[Transaction]) -> float:
    took = []
    for at, event in enumerate(payments):
        started = time.perf_counter()
        plan = engine.plan([Arrival(event, log_origin(1, at))])
        engine.vectors(plan, store.append_and_read(plan.appends, plan.reads, expire_after=engine.state_lifetime))
        took.append((time.perf_counter() - started) * 1e6)
    return float(np.median(took))


def fill(client: redis.Redis, cards: int) -> None:
    """Give every card, merchant and device a payment."""
    numbers = range(cards)
    for first in track(range(0, cards, _WRITTEN_AT_ONCE), f"{cards:,} cards"):
        values: dict[str, bytes] = {}
        for number in numbers[first : first + _WRITTEN_AT_ONCE]:
            event = _payment(number, f"card-{number}", f"merchant-{number}", timedelta(seconds=number % 86_400))
            for append in payment_records(event, origin=number, entities=FRAUD.entities).appends:
                if append:
                    values[append[0]] = append[1]
        client.mset(values)


def _payment(number: int | str, card: str, merchant: str, after: timedelta) -> Transaction:
    return payment(
        f"t{number}",
        occurred_at=_START + after,
        card_id=card,
        merchant_id=merchant,
        device_id=f"d-{card}",
        amount=1999,
    )
