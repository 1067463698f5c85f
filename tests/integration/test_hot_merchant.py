"""Four processes apply the payments of one merchant at once, on the real server: each counts once, none is lost."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing.managers import SyncManager
from threading import Barrier
from typing import NamedTuple

import pytest

from shared.contracts.events import Transaction
from shared.features.definitions import DAY, HOUR, Aggregation, Entity, FeatureSet, Window
from shared.features.engine import FeatureEngine
from shared.features.state import EVENT, LABEL_KIND, ORIGIN, TILE_KIND, entity_key, identity, records_of
from shared.features.tiles import EXACT_PAYMENTS, TILE_SHARE
from shared.store.redis import open_store
from tests.events import payment
from tests.unit.features.applying import Applying

pytestmark = pytest.mark.servers

PROCESSES = 4
EACH = 2_000
AT_ONCE = EXACT_PAYMENTS // PROCESSES
"""Of each process's payments, those that happen at one instant: their counts tell the order in which they arrived."""
BATCH = 64
SECOND = timedelta(seconds=1)
OLD = 3_000
IN_HOUR = HOUR // SECOND
IN_HOUR_BOUND = TILE_SHARE * IN_HOUR + 1
MERCHANT_FEATURES = FeatureSet(
    "merchant",
    (
        Window(Entity.MERCHANT, Aggregation.COUNT, 30 * DAY),
        Window(Entity.MERCHANT, Aggregation.SUM, 30 * DAY),
        Window(Entity.MERCHANT, Aggregation.COUNT, HOUR),
        Window(Entity.CARD, Aggregation.COUNT, 30 * DAY),
    ),
)


class Served(NamedTuple):
    """What one process got for its payments."""

    values: list[list[float]]
    rewritten: int


def payments_of(process: int, merchant: str) -> list[Transaction]:
    """First those of one instant, then one a second, the processes taking turns."""
    return [
        payment(
            f"{merchant}-{process}-{n}",
            after=max(n - AT_ONCE + 1, 0) * PROCESSES * SECOND + (process * SECOND if n >= AT_ONCE else 0 * SECOND),
            card_id=f"{merchant}-{process}-{n}",
            merchant_id=merchant,
            amount=1,
        )
        for n in range(EACH)
    ]


def batches(process: int, merchant: str) -> Iterator[list[Transaction]]:
    payments = payments_of(process, merchant)
    for first in range(0, EACH, BATCH):
        yield payments[first : first + BATCH]


def apply(url: str, process: int, merchant: str, barrier: Barrier) -> Served:
    """Apply one process's payments, in step with the others, so that none falls behind by thousands."""
    store = open_store(url, timeout_seconds=30.0)
    applying = Applying(FeatureEngine(MERCHANT_FEATURES), store=store, partition=process, may_lose=True)
    values: list[list[float]] = []
    for batch in batches(process, merchant):
        barrier.wait(timeout=120)
        vectors = applying.pay(batch)
        assert not vectors.is_uncounted.any()
        values += vectors.values.tolist()
    store.close()
    return Served(values, applying.rewritten)


@pytest.fixture
def barrier() -> Iterator[Barrier]:
    """A barrier that may be handed to other processes."""
    manager: SyncManager
    with multiprocessing.get_context("spawn").Manager() as manager:
        yield manager.Barrier(PROCESSES)


def fill_with_old_payments(url: str, merchant: str) -> None:
    """Put in payments that no window reaches, so that the processes have something to drop from the beginning."""
    store = open_store(url, timeout_seconds=30.0)
    old = [
        payment(f"old-{n}", after=n * SECOND - 60 * DAY, card_id=f"{merchant}-old-{n}", merchant_id=merchant)
        for n in range(OLD)
    ]
    Applying(FeatureEngine(MERCHANT_FEATURES), store=store).pay(old)
    store.close()


def test_four_processes_on_one_merchant_count_every_payment_once(redis_url: str, barrier: Barrier) -> None:
    merchant = "hot-merchant"
    fill_with_old_payments(redis_url, merchant)
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as processes:
        running = [processes.submit(apply, redis_url, n, merchant, barrier) for n in range(PROCESSES)]
        served = [one.result(timeout=240) for one in running]

    at_one_instant = sorted(count for one in served for count, *_ in one.values[:AT_ONCE])
    assert at_one_instant == list(range(1, EXACT_PAYMENTS + 1))
    assert all(card_count == 1 for one in served for *_, card_count in one.values)
    for process, one in enumerate(served):
        assert_counted_as_far_as_the_others_had_come(process, one)
    assert sum(one.rewritten for one in served) > 1

    store = open_store(redis_url, timeout_seconds=30.0)
    after = Applying(FeatureEngine(MERCHANT_FEATURES), store=store, partition=PROCESSES)
    probe = payment("probe", after=HOUR * 24, card_id=f"{merchant}-probe", merchant_id=merchant, amount=1)
    count, amount, *_ = after.pay([probe]).values[0].tolist()
    assert count == amount == PROCESSES * EACH + 1  # no window's edge falls among the tiles
    assert payments_in(after.state(entity_key(Entity.MERCHANT, identity(merchant)))) == PROCESSES * EACH + 1
    store.close()


def assert_counted_as_far_as_the_others_had_come(process: int, served: Served) -> None:
    """Hold every count against what the others had applied for certain, and against the most they can have."""
    payments = payments_of(process, "any")
    for n in range(AT_ONCE, EACH):
        count, amount, in_hour, _ = served.values[n]
        first = n - n % BATCH
        done = PROCESSES * first + n - first + 1
        under_way = (PROCESSES - 1) * BATCH
        bound = TILE_SHARE * done + 1
        assert done - bound <= count <= done + under_way + bound
        assert amount == pytest.approx(count)
        if payments[n].occurred_at - payments[0].occurred_at >= HOUR:  # one a second
            assert IN_HOUR - under_way - IN_HOUR_BOUND <= in_hour <= IN_HOUR + IN_HOUR_BOUND


def payments_in(state: bytes) -> int:
    """Return how many payments a state stands for, each once."""
    records = records_of(state)
    tiles = records[records[:, ORIGIN] >= TILE_KIND]
    single = records[records[:, ORIGIN] < LABEL_KIND]
    return int((tiles[:, ORIGIN] - TILE_KIND).sum()) + len(set(single[:, EVENT].tolist()))
