"""A busy merchant: 20,000 payments in a month, some late, some repeated, some known to be fraud later."""

from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from shared.contracts.events import Transaction
from shared.features.definitions import DAY, HOUR, Aggregation, Entity, Equals, FeatureSet, Field, Same, Window
from shared.features.engine import FeatureEngine
from shared.features.state import (
    LABEL_KIND,
    ORIGIN,
    RECORD_BYTES,
    TILE_KIND,
    TIME,
    entity_key,
    identity,
    microseconds,
    records_of,
)
from shared.features.tiles import EXACT_PAYMENTS, TILE_SHARE
from tests.events import label, payment
from tests.unit.features.applying import Applying

MERCHANT = Entity.MERCHANT
SPANS = [(HOUR, 0 * DAY), (DAY, 0 * DAY), (7 * DAY, 0 * DAY), (30 * DAY, 0 * DAY), (7 * DAY, 7 * DAY)]
AGGREGATIONS = [Aggregation.COUNT, Aggregation.SUM, Aggregation.MEAN, Aggregation.FRAUD_COUNT]
WINDOWED = FeatureSet(
    "windowed", tuple(Window(MERCHANT, what, length, delay) for length, delay in SPANS for what in AGGREGATIONS)
)
KEY = entity_key(MERCHANT, identity("merchant-1"))
PAYMENTS = 20_000
BATCH = 50
STEP = 30 * DAY / PAYMENTS
AMOUNT_MAX = 10_000
STATE_BYTES_MAX = 500_000


class Stream(NamedTuple):
    """Everything that happened at the merchant, in order of event time."""

    payments: list[Transaction]
    times_us: npt.NDArray[np.int64]
    amounts: npt.NDArray[np.int64]
    known_us: npt.NDArray[np.int64]
    """When each became known to be fraud; far in the future where it never did."""


def new_stream(count: int = PAYMENTS) -> Stream:
    random = np.random.default_rng(3)
    amounts = random.integers(1, AMOUNT_MAX, count)
    payments = [
        payment(f"t{n}", after=n * STEP, card_id=f"card-{n}", amount=int(amount)) for n, amount in enumerate(amounts)
    ]
    times = np.array([microseconds(one.occurred_at) for one in payments])
    known = np.where(random.random(count) < 0.05, times + 2 * DAY // timedelta(microseconds=1), 2**62)
    return Stream(payments, times, amounts, known)


class Expected(NamedTuple):
    """A window's true content, and by how much count, amount and frauds in it may be off."""

    payments: int
    amount: int
    frauds: int
    bound: float
    frauds_bound: int


def expected(stream: Stream, now: int, span: tuple[timedelta, timedelta]) -> Expected:
    length_us, delay_us = (part // timedelta(microseconds=1) for part in span)
    time_us = stream.times_us[now]
    end = int(np.searchsorted(stream.times_us, time_us - delay_us, side="right"))
    begin = int(np.searchsorted(stream.times_us, time_us - delay_us - length_us, side="right"))
    fraud = stream.known_us[: now + 1] <= time_us
    bound, frauds_bound = 0.0, 0
    for edge in (begin, end):
        if now + 1 - edge > EXACT_PAYMENTS and edge > 0:
            one = int(TILE_SHARE * (now + 1 - edge)) + 1
            bound += one
            frauds_bound += int(fraud[max(0, edge - one) : edge + one].sum())
    return Expected(end - begin, int(stream.amounts[begin:end].sum()), int(fraud[begin:end].sum()), bound, frauds_bound)


def assert_within(values: npt.NDArray[np.float64], wanted: Expected) -> None:
    count, amount, mean, frauds = values
    assert abs(count - wanted.payments) <= wanted.bound
    assert abs(amount - wanted.amount) <= wanted.bound * AMOUNT_MAX
    assert abs(frauds - wanted.frauds) <= wanted.frauds_bound
    if count:
        assert mean == pytest.approx(amount / count)


def tell_what_became_known(applying: Applying, stream: Stream, since: datetime | None, until: Transaction) -> None:
    for n in np.flatnonzero(stream.known_us <= microseconds(until.occurred_at)):
        if since is None or stream.known_us[n] > microseconds(since):
            applying.tell(label(stream.payments[n], known_after=2 * DAY))


def folded(stream: Stream) -> tuple[Applying, list[int]]:
    """Apply the whole stream; check every vector; return also the state's size after each batch."""
    applying, sizes, since = Applying(FeatureEngine(WINDOWED)), [], None
    for first in range(0, len(stream.payments), BATCH):
        batch = stream.payments[first : first + BATCH]
        tell_what_became_known(applying, stream, since, batch[0])
        since = batch[0].occurred_at
        values = applying.pay(batch).values.reshape(len(batch), len(SPANS), len(AGGREGATIONS))
        for at in range(len(batch)):
            # Labels come between batches: only the first payment's are all known.
            for span, found in zip(SPANS, values[at] if at == 0 else [], strict=False):
                assert_within(found, expected(stream, first + at, span))
            counts = values[at, :, 0]
            assert counts[0] == expected(stream, first + at, SPANS[0]).payments
        sizes.append(len(applying.state(KEY)))
    return applying, sizes


@pytest.fixture(scope="module")
def stream() -> Stream:
    return new_stream()


@pytest.fixture
def hot(stream: Stream) -> Applying:
    """What is left of the stream's first 10,000 payments."""
    applying = Applying(FeatureEngine(WINDOWED))
    for first in range(0, 10_000, 500):
        applying.pay(stream.payments[first : first + 500])
    return applying


def test_every_window_of_a_busy_merchant_is_within_the_stated_bound_and_its_state_stays_small(stream: Stream) -> None:
    applying, sizes = folded(stream)
    print(f"{PAYMENTS} payments: at most {max(sizes)} bytes of state, {PAYMENTS * RECORD_BYTES} unfolded")
    assert applying.rewritten > 3
    assert max(sizes) < STATE_BYTES_MAX
    assert max(sizes[len(sizes) // 2 :]) < 1.1 * max(sizes[: len(sizes) // 2])


def payments_in(state: bytes) -> int:
    """Return how many payments a state stands for."""
    origins = records_of(state)[:, ORIGIN]
    tiles = origins[origins >= TILE_KIND]
    return int((tiles - TILE_KIND).sum() + (origins < LABEL_KIND).sum())


def test_folding_loses_no_payment(hot: Applying) -> None:
    assert hot.rewritten
    assert payments_in(hot.state(KEY)) == 10_000


def value_after(applying: Applying, name: str, *, after: timedelta) -> float:
    probe = payment(f"probe-{after}", after=after, card_id="probe")
    vectors = applying.pay([probe])
    return float(vectors.values[0, applying.engine.feature_set.feature_names.index(name)])


def test_what_was_folded_and_comes_again_changes_nothing(stream: Stream, hot: Applying) -> None:
    now = 10_000 * STEP
    before = value_after(hot, "merchant_count_30d", after=now)
    for first in range(0, 10_000, 500):
        hot.pay(stream.payments[first : first + 500], at_offset=first)
    assert value_after(hot, "merchant_count_30d", after=now + STEP) == before + 1


def test_a_payment_older_than_the_folded_ones_counts_in_its_own_vector_only_and_says_so(hot: Applying) -> None:
    now = 10_000 * STEP
    before = value_after(hot, "merchant_count_30d", after=now)
    vectors = hot.pay([payment("late", after=-HOUR, card_id="late")])
    assert vectors.is_uncounted.tolist() == [True]
    assert vectors.values[0, 0] == 1  # in the last hour: nothing but itself
    assert vectors.late_us[0] > 0
    assert value_after(hot, "merchant_count_30d", after=now + STEP) == before + 1


def test_a_payment_late_by_less_than_what_is_kept_counts_for_good(hot: Applying) -> None:
    now = 10_000 * STEP
    before = value_after(hot, "merchant_count_30d", after=now)
    vectors = hot.pay([payment("late", after=9_000.5 * STEP, card_id="late")])
    assert vectors.is_uncounted.tolist() == [False]
    assert value_after(hot, "merchant_count_30d", after=now + STEP) == before + 2


@pytest.mark.parametrize("place", [10, 5_000, 9_990])
def test_a_label_counts_once_whether_its_payment_was_folded_or_not(stream: Stream, hot: Applying, place: int) -> None:
    told = label(stream.payments[place], known_after=2 * DAY)
    hot.tell(told)
    hot.tell(told)
    known = max(place * STEP + 2 * DAY, 10_000 * STEP)
    assert value_after(hot, "merchant_fraud_count_30d", after=known - HOUR) == (place < 9_000)
    assert value_after(hot, "merchant_fraud_count_30d", after=known + HOUR) == 1
    for first in range(10_000, 16_000, 500):  # folds the payment and the label
        hot.pay(stream.payments[first : first + 500])
    assert value_after(hot, "merchant_fraud_count_30d", after=16_000 * STEP) == 1


def test_up_to_2048_payments_in_reach_are_exact(stream: Stream) -> None:
    """A window that reaches over fewer than 2,048 payments has its exact content, however many came before."""
    length = EXACT_PAYMENTS * STEP
    engine = FeatureEngine(
        FeatureSet(
            "exact",
            (
                Window(MERCHANT, Aggregation.COUNT, length),
                Window(MERCHANT, Aggregation.SUM, length),
                Window(MERCHANT, Aggregation.DISTINCT, length, of=Entity.CARD),
                Window(MERCHANT, Aggregation.COUNT, 30 * DAY),
            ),
        )
    )
    applying = Applying(engine)
    for first in range(0, 10_000, 500):
        values = applying.pay(stream.payments[first : first + 500]).values
        for at, (count, amount, cards, _) in enumerate(values.tolist()):
            begin = max(0, first + at + 1 - EXACT_PAYMENTS)
            assert (count, cards) == (first + at + 1 - begin, first + at + 1 - begin)
            assert amount == stream.amounts[begin : first + at + 1].sum()
    assert applying.rewritten


def shared_windows(aggregation: Aggregation) -> Window:
    reference = 30 * DAY if aggregation is Aggregation.OUTLIERS else None
    return Window(MERCHANT, aggregation, 30 * DAY, reference=reference)


@pytest.mark.parametrize("beside", [Aggregation.ROBUST_Z, Aggregation.OUTLIERS])
@pytest.mark.parametrize("counted", [Aggregation.COUNT, Aggregation.RATIO])
def test_a_feature_that_needs_single_payments_takes_nothing_from_those_that_do_not(
    stream: Stream, beside: Aggregation, counted: Aggregation
) -> None:
    alone = Applying(FeatureEngine(FeatureSet("alone", (shared_windows(counted),))))
    both = Applying(FeatureEngine(FeatureSet("both", (shared_windows(counted), shared_windows(beside)))))
    for first in range(0, 8_000, 500):
        batch = stream.payments[first : first + 500]
        assert both.pay(batch).values[:, 0].tolist() == alone.pay(batch).values[:, 0].tolist()
    assert alone.rewritten


@pytest.mark.parametrize("where", [Equals(Field.CHANNEL, "ecommerce"), Same(Field.COUNTRY)])
def test_a_share_is_of_what_can_still_be_told_apart(stream: Stream, where: Equals | Same) -> None:
    applying = Applying(
        FeatureEngine(FeatureSet("share", (Window(MERCHANT, Aggregation.SHARE, 30 * DAY, where=where),)))
    )
    for first in range(0, 8_000, 500):
        assert applying.pay(stream.payments[first : first + 500]).values.tolist() == [[1.0]] * 500
    assert applying.rewritten


def test_a_fraud_that_was_known_before_its_payment_was_folded_stays_counted(stream: Stream) -> None:
    applying = Applying(FeatureEngine(WINDOWED))
    for first in range(0, 10_000, 500):
        applying.pay(stream.payments[first : first + 500])
        for n in range(first, first + 500, 100):
            applying.tell(label(stream.payments[n], known_after=HOUR))
    assert value_after(applying, "merchant_fraud_count_30d", after=10_000 * STEP + HOUR) == 100


def test_tiles_stand_in_order_of_time_and_none_is_too_large(hot: Applying) -> None:
    records = records_of(hot.state(KEY))
    tiles = records[records[:, ORIGIN] >= TILE_KIND]
    assert (np.diff(tiles[:, TIME]) >= 0).all()
    counts = tiles[:, ORIGIN] - TILE_KIND
    newer = 10_000 - np.cumsum(counts)
    assert (counts <= np.maximum(1, newer * TILE_SHARE)).all()
