"""Thirty simulated days: what no window reaches is gone, from the values served and from the store."""

from datetime import timedelta
from itertools import groupby

import numpy as np

from shared.contracts.events import Transaction
from shared.features.definitions import DAY, HOUR, MINUTE, Aggregation, Entity, FeatureSet, Same, Window
from shared.features.engine import FeatureEngine
from shared.features.state import entity_key, identity
from shared.runtime.clock import ManualClock
from shared.store.memory import MemoryStore
from tests.events import START, label, payment
from tests.unit.features.applying import Applying

HORIZON = 3 * DAY
THREE_DAYS = FeatureSet(
    "three_days",
    (
        Window(Entity.CARD, Aggregation.COUNT, 2 * DAY, DAY),
        Window(Entity.CARD, Aggregation.SUM, HORIZON),
        Window(Entity.CARD, Aggregation.SINCE_LAST, HORIZON),
        Window(Entity.CARD, Aggregation.SHARE, HORIZON, where=Same(Entity.MERCHANT)),
        Window(Entity.MERCHANT, Aggregation.FRAUD_COUNT, HORIZON),
        Window(Entity.MERCHANT, Aggregation.DISTINCT, DAY, of=Entity.CARD),
        Window(Entity.DEVICE, Aggregation.MEAN, DAY),
    ),
)
DAYS = 30
PAYMENTS_A_DAY = 1_000
MERCHANTS = 20


def a_day_of_payments(day: int, random: np.random.Generator) -> list[Transaction]:
    """Half the cards are seen for a day only; so is every device."""
    minutes = np.sort(random.integers(0, 24 * 60, PAYMENTS_A_DAY)).tolist()
    return [
        payment(
            f"t{day}-{n}",
            after=day * DAY + minute * MINUTE,
            card_id=f"card-{n % 50}" if n % 2 else f"card-{day}-{n % 100}",
            merchant_id=f"merchant-{n % MERCHANTS}",
            device_id=f"device-{day}-{n % 30}",
            amount=int(random.integers(1, 10_000)),
        )
        for n, minute in enumerate(minutes)
    ]


def stored(store: MemoryStore) -> dict[str, int]:
    """Return the size in bytes of every value that the store still has."""
    keys = list(store.keys("features:"))
    return dict(zip(keys, map(len, store.append_and_read([], keys, expire_after=DAY)), strict=True))


def live(applying: Applying, clock: ManualClock, payments: list[Transaction]) -> None:
    for _, several in groupby(payments, key=lambda one: one.occurred_at.replace(minute=0)):
        batch = list(several)
        clock.advance(batch[-1].occurred_at - clock.now())
        applying.pay(batch)
        applying.tell(label(batch[0], known_after=MINUTE))


def test_thirty_days_leave_no_more_behind_than_five() -> None:
    clock, random = ManualClock(START), np.random.default_rng(5)
    store = MemoryStore(clock)
    applying = Applying(FeatureEngine(THREE_DAYS), store=store)
    sizes, keys = [], []
    for day in range(DAYS):
        live(applying, clock, a_day_of_payments(day, random))
        of_each = stored(store)
        sizes.append(sum(of_each.values()))
        keys.append(len(of_each))
    print(f"bytes by day: {sizes}; keys by day: {keys}")
    assert max(sizes[5:]) <= 1.3 * sizes[4]
    assert max(keys[5:]) <= 1.1 * keys[4]
    remembered = applying.engine.state_lifetime // DAY
    for day in range(DAYS - remembered - 1):
        assert entity_key(Entity.CARD, identity(f"card-{day}-0")) not in of_each
        assert entity_key(Entity.DEVICE, identity(f"device-{day}-0")) not in of_each
    assert entity_key(Entity.CARD, identity(f"card-{DAYS - 1}-0")) in of_each


def after_silence(silence: timedelta, *, clock: ManualClock) -> list[float]:
    """Return the vector of a payment whose card, merchant and device were silent for so long."""
    applying = Applying(FeatureEngine(THREE_DAYS), clock=clock)
    clock.advance(39 * HOUR)
    known = [payment(f"t{n}", after=n * HOUR, device_id="d1", amount=100 * n) for n in range(40)]
    applying.pay(known)
    applying.tell(label(known[-1], known_after=MINUTE))
    clock.advance(silence)
    values = applying.pay([payment("again", after=39 * HOUR + silence, device_id="d1", amount=7)]).values
    found: list[float] = values[0].tolist()
    return found


def test_after_a_silence_longer_than_its_windows_an_entity_is_new() -> None:
    first_ever = (
        Applying(FeatureEngine(THREE_DAYS)).pay([payment("again", device_id="d1", amount=7)]).values[0].tolist()
    )
    just_before = after_silence(HORIZON - MINUTE, clock=ManualClock(START))
    assert just_before != first_ever
    # The windows are over, the state is not: it lives a day longer, for what comes late.
    assert after_silence(HORIZON, clock=ManualClock(START)) == first_ever
    assert after_silence(HORIZON + 2 * DAY, clock=ManualClock(START)) == first_ever


def test_a_silent_state_is_gone_when_its_lifetime_is_over() -> None:
    clock = ManualClock(START)
    store = MemoryStore(clock)
    applying = Applying(FeatureEngine(THREE_DAYS), store=store)
    applying.pay([payment("a", device_id="d1")])
    clock.advance(applying.engine.state_lifetime - MINUTE)
    assert len(stored(store)) == 3
    clock.advance(MINUTE)
    assert stored(store) == {}
