"""What is computed from columns afterwards is what was served, payment by payment."""

from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.features.handlers import FeaturesHandler, log_order
from shared.bus.base import Record
from shared.contracts import codec
from shared.contracts.events import FeatureVector, Label, Transaction
from shared.contracts.topics import LABELS, TRANSACTIONS
from shared.features.backfill import LABEL_COLUMNS, PAYMENT_COLUMNS, Backfilled, backfilled
from shared.features.catalog.fraud import FRAUD, HANDBOOK
from shared.features.definitions import Aggregation, Entity, FeatureSet, Window
from shared.features.engine import FeatureEngine
from shared.features.tiles import EXACT_PAYMENTS, LATENESS
from shared.runtime.clock import SystemClock
from shared.runtime.loop import Delivery
from shared.store.memory import MemoryStore
from tests.events import label, payment

COUNTS = [at for at, name in enumerate(FRAUD.feature_names) if "count" in name or "distinct" in name]
HOURS = st.sampled_from([0, 0.1, 1, 23, 24, 25, 167, 168, 169, 336, 720, 744, 745, 887, 888, 1_800])
IDS = st.sampled_from(["1", "2", "3"])
INSTANT = pl.Datetime("us", "UTC")
REMEMBERED = min(FRAUD.horizon(entity) for entity in Entity) + LATENESS


@st.composite
def streams(draw: st.DrawFn) -> list[Delivery]:
    payments = [
        payment(
            f"t{draw(st.integers(number - 1, number)) if number % 5 == 0 else number}",
            after=timedelta(hours=draw(HOURS)),
            event_id=f"00000000-0000-7000-8000-{number:012}",
            card_id=draw(IDS),
            merchant_id=draw(IDS),
            device_id=draw(st.none() | IDS),
            user_id=draw(st.none() | IDS),
            amount=draw(st.sampled_from([0, 499, 500, 10**15]) | st.integers(0, 10**6)),
            channel=draw(st.sampled_from(["ecommerce", "card_present", "atm"])),
            country=draw(st.sampled_from(["DE", "FR", "AA", "ZZ"])),
            mcc=draw(st.sampled_from(["0000", "5411", "9999"])),
        )
        for number in range(draw(st.integers(1, 20)))
    ]
    labels = [
        label(
            of,
            draw(st.sampled_from(["fraud", "genuine"])),
            known_after=timedelta(days=draw(st.sampled_from([-1, 0, 1, 7, 20]))),
        )
        for of in draw(st.lists(st.sampled_from(payments), max_size=12))
    ]
    events: list[Transaction | Label] = [*payments, *labels]
    # A copy is told from a payment of its own as long as the state remembers the first (services/features/README.md).
    newest = max(event.occurred_at for event in payments)
    remembered = [event for event in events if newest - event.occurred_at <= REMEMBERED]
    repeated = draw(st.lists(st.sampled_from(remembered), max_size=6))
    order = draw(st.permutations([*events, *repeated]))
    places = draw(st.lists(st.integers(0, 3), min_size=len(order), max_size=len(order)))
    return deliveries(order, places)


def deliveries(events: list[Transaction | Label], partitions: list[int] | None = None) -> list[Delivery]:
    """Deal events out to the log; two of them share a millisecond, so that event time and kind decide."""
    partitions = partitions or [0] * len(events)
    dealt = [
        Delivery(Record((LABELS if isinstance(e, Label) else TRANSACTIONS).name, partition, at, b"", b"", at // 2), e)
        for at, (e, partition) in enumerate(zip(events, partitions, strict=True))
    ]
    return sorted(dealt, key=log_order)


def served(feature_set: FeatureSet, log: list[Delivery]) -> dict[str, list[float]]:
    handler = FeaturesHandler(
        FeatureEngine(feature_set),
        MemoryStore(SystemClock()),
        SystemClock(),
        age_max=timedelta(days=1),
        lag_records=lambda: 0,
    )
    vectors: dict[str, list[float]] = {}
    for delivery in log:
        for outgoing in handler([delivery]):
            vector = codec.decode(FeatureVector, outgoing.value)
            assert vectors.setdefault(vector.transaction.event_id, vector.values) is vector.values
    return vectors


def frames(log: list[Delivery]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return payments and labels as columns, in an order that says nothing."""
    rows: dict[type, list[dict[str, Any]]] = {Transaction: [], Label: []}
    for record, event in sorted(log, key=lambda delivery: delivery.event.event_id):
        values = {name: getattr(event, name) for name in event.__struct_fields__}
        place = {"produced_ms": record.produced_ms, "partition": record.partition, "offset": record.offset}
        rows[type(event)].append(values | place)
    types: dict[str, pl.DataType] = dict.fromkeys([*PAYMENT_COLUMNS, *LABEL_COLUMNS], pl.String())
    types |= {"occurred_at": INSTANT} | dict.fromkeys(["amount", "produced_ms", "partition", "offset"], pl.Int64())
    return (
        pl.DataFrame(rows[Transaction], {name: types[name] for name in PAYMENT_COLUMNS}),
        pl.DataFrame(rows[Label], {name: types[name] for name in LABEL_COLUMNS}),
    )


def by_event(result: Backfilled) -> dict[str, list[float]]:
    return dict(zip(result.payments["event_id"], result.values.tolist(), strict=True))


def assert_same(result: Backfilled, theirs: dict[str, list[float]]) -> None:
    """Compare all payments but those later than LATENESS: of what they reach, parts may have been dropped online."""
    assert theirs.keys() == set(result.payments["event_id"])
    is_timely = result.late_us <= LATENESS // timedelta(microseconds=1)
    wanted = np.array([theirs[event_id] for event_id in result.payments["event_id"]])[is_timely]
    found = result.values[is_timely]
    assert (found[:, COUNTS] == wanted[:, COUNTS]).all()
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=0)


@settings(max_examples=150)
@given(streams())
def test_every_vector_is_the_one_that_was_served(log: list[Delivery]) -> None:
    assert_same(backfilled(FRAUD, *frames(log)), served(FRAUD, log))


@settings(max_examples=40)
@given(streams(), st.data())
def test_asked_for_some_it_answers_these_and_takes_the_others_as_history(
    log: list[Delivery], data: st.DataObject
) -> None:
    payments, labels = frames(log)
    whole = by_event(backfilled(FRAUD, payments, labels))
    asked = data.draw(st.sets(st.sampled_from(sorted(whole))))
    some = by_event(backfilled(FRAUD, payments, labels, only=pl.Series(sorted(asked), dtype=pl.String)))
    assert some == {event_id: whole[event_id] for event_id in asked}


def test_a_long_history_is_the_one_that_was_served() -> None:
    """Months of it, so that what no window reaches is dropped online, and skipped here."""
    rng = np.random.default_rng(3)
    events: list[Transaction | Label] = []
    for number, day in enumerate(np.sort(rng.uniform(0, 200, 1_500)) - rng.choice([0, 0, 0, 0.9], 1_500)):
        made = payment(
            f"t{number}",
            after=timedelta(days=float(day)),
            card_id=f"card-{rng.integers(5)}",
            merchant_id=f"merchant-{rng.integers(2)}",
            device_id=f"device-{rng.integers(5)}",
            amount=int(rng.integers(10**5)),
        )
        events.append(made)
        if rng.random() < 0.2:
            events.append(label(made, known_after=timedelta()))
    log = deliveries(events)
    result = backfilled(FRAUD, *frames(log))
    assert_same(result, served(FRAUD, log))
    assert 100 < result.in_reach.max() < EXACT_PAYMENTS
    assert result.late_us.max() > timedelta(hours=12) / timedelta(microseconds=1)


MERCHANTS_FRAUDS = FeatureSet("frauds", (Window(Entity.MERCHANT, Aggregation.FRAUD_COUNT, timedelta(days=7)),))


def test_a_label_counts_at_the_merchant_from_when_both_it_and_its_payment_had_arrived() -> None:
    fraud = payment("fraud")
    known = label(fraud, known_after=timedelta())
    other, later = (
        payment(name, card_id="card-2", after=timedelta(days=days)) for name, days in (("other", 1), ("later", 2))
    )
    early: list[Transaction | Label] = [known, other, fraud, later]
    late: list[Transaction | Label] = [fraud, other, known, later]
    for order, wanted in ((early, [1, 0, 1]), (late, [0, 0, 1])):
        seen = by_event(backfilled(MERCHANTS_FRAUDS, *frames(deliveries(order))))
        assert [seen[event.event_id][0] for event in (fraud, other, later)] == wanted


def test_of_payments_with_one_transaction_id_the_last_that_came_and_those_to_come_are_told() -> None:
    first, second, third = (
        payment("t", event_id=f"00000000-0000-7000-8000-{at:012}", merchant_id=f"merchant-{at}") for at in range(3)
    )
    later = [
        payment(f"later-{at}", card_id="card-2", merchant_id=f"merchant-{at}", after=timedelta(days=1))
        for at in range(3)
    ]
    log = deliveries([first, second, label(first, known_after=timedelta()), third, *later])
    ours = by_event(backfilled(MERCHANTS_FRAUDS, *frames(log)))
    assert [ours[event.event_id][0] for event in later] == [0, 1, 1]
    assert ours == served(MERCHANTS_FRAUDS, log)


@pytest.mark.parametrize("feature_set", [FRAUD, HANDBOOK])
def test_no_payments_give_no_vectors(feature_set: FeatureSet) -> None:
    assert backfilled(feature_set, *frames([])).values.shape == (0, len(feature_set.features))
