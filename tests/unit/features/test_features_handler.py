from collections.abc import Sequence
from datetime import timedelta

from services.features.handlers import FeaturesHandler
from shared.bus.base import Record
from shared.contracts import codec
from shared.contracts.events import Event, FeatureVector
from shared.features.catalog.fraud import FRAUD
from shared.features.engine import Arrival, FeatureEngine
from shared.features.state import RECORD_BYTES, REST_ORIGIN
from shared.runtime.clock import SystemClock
from shared.runtime.loop import Delivery
from shared.store.memory import MemoryStore
from tests.events import label, payment

DAY = timedelta(days=1)
COUNT_30D = FRAUD.feature_names.index("card_count_30d")
CARD_FRAUDS = FRAUD.feature_names.index("card_fraud_count_30d")
DEVICE_FRAUDS = FRAUD.feature_names.index("device_fraud_count_30d")
MERCHANT_FRAUD_30D = FRAUD.feature_names.index("merchant_fraud_rate_30d_delay_7d")


def new_handler() -> tuple[FeaturesHandler, MemoryStore]:
    store = MemoryStore(SystemClock())
    handler = FeaturesHandler(FeatureEngine(FRAUD), store, SystemClock(), age_max=36_500 * DAY, lag_records=lambda: 0)
    return handler, store


def vectors(handler: FeaturesHandler, *events: Event, first_offset: int) -> list[FeatureVector]:
    batch = [
        Delivery(Record("", 0, first_offset + at, b"", b"", first_offset + at), event)
        for at, event in enumerate(events)
    ]
    return answered(handler, batch)


def answered(handler: FeaturesHandler, batch: Sequence[Delivery]) -> list[FeatureVector]:
    return [codec.decode(FeatureVector, outgoing.value) for outgoing in handler(batch)]


def test_the_same_payment_at_another_place_on_the_log_is_not_answered_again() -> None:
    handler, _ = new_handler()
    assert len(vectors(handler, payment("a"), first_offset=0)) == 1
    assert vectors(handler, payment("a"), first_offset=1) == []
    assert len(vectors(handler, payment("a"), first_offset=0)) == 1  # the same place: its answer was never committed


def test_a_payment_scored_over_rest_is_answered_once_when_the_log_brings_it() -> None:
    handler, store = new_handler()
    engine = FeatureEngine(FRAUD)
    vectors(handler, payment("before"), first_offset=0)
    plan = engine.plan([Arrival(payment("a", after=DAY), REST_ORIGIN)])
    over_rest = engine.vectors(plan, store.append_and_read(plan.appends, plan.reads, expire_after=DAY)).values
    (from_log,) = vectors(handler, payment("a", after=DAY), first_offset=1)
    assert from_log.values == over_rest[0].tolist()
    assert vectors(handler, payment("a", after=DAY), first_offset=2) == []


def test_a_label_that_overtook_its_payment_still_reaches_the_merchant() -> None:
    handler, _ = new_handler()
    fraud = payment("fraud")
    vectors(handler, label(fraud, known_after=DAY), first_offset=0)
    vectors(handler, fraud, first_offset=1)
    (later,) = vectors(handler, payment("later", after=8 * DAY, card_id="card-2"), first_offset=2)
    assert later.values[MERCHANT_FRAUD_30D] == 1.0


def test_a_label_does_not_change_what_was_served_before_it_was_known() -> None:
    handler, _ = new_handler()
    fraud = payment("fraud")
    vectors(handler, fraud, label(fraud, known_after=20 * DAY), first_offset=0)
    (before,) = vectors(handler, payment("early", after=10 * DAY, card_id="card-2"), first_offset=2)
    (after,) = vectors(handler, payment("later", after=21 * DAY, card_id="card-2"), first_offset=3)
    assert before.values[MERCHANT_FRAUD_30D] == 0.0
    assert after.values[MERCHANT_FRAUD_30D] == 0.5  # two payments in the window, one of them known to be fraud


def test_a_label_reaches_whoever_paid_there_in_the_same_batch() -> None:
    handler, _ = new_handler()
    fraud = payment("fraud", device_id="d1", user_id="u1")
    told = label(fraud, known_after=timedelta(0))
    other = payment("other", after=8 * DAY, card_id="card-2", device_id="d1", user_id="u1")
    _, later = vectors(handler, fraud, told, other, first_offset=0)
    assert later.values[MERCHANT_FRAUD_30D] == 1.0
    assert later.values[DEVICE_FRAUDS] == 1


def test_a_label_that_overtook_its_payment_reaches_whoever_pays_there_in_the_same_batch() -> None:
    handler, _ = new_handler()
    fraud = payment("fraud", device_id="d1")
    other = payment("other", after=8 * DAY, card_id="card-2", device_id="d1")
    vectors(handler, label(fraud, known_after=timedelta(0)), first_offset=0)
    own, later = vectors(handler, fraud, other, first_offset=1)
    assert own.values[CARD_FRAUDS] == own.values[DEVICE_FRAUDS] == 1  # known at its own time
    assert later.values[MERCHANT_FRAUD_30D] == 1.0


def test_a_batch_is_applied_in_the_order_in_which_the_log_took_it_in() -> None:
    handler, _ = new_handler()
    first, second, third = payment("1", after=DAY), payment("2"), payment("3")
    places = [(1, 20, second), (0, 10, first), (1, 10, third)]  # partition, produced_ms, event
    batch = [Delivery(Record("", partition, at, b"", b"", ms), one) for at, (partition, ms, one) in enumerate(places)]
    found = answered(handler, batch)
    assert [vector.transaction.transaction_id for vector in found] == ["3", "1", "2"]  # at one moment, by event time
    assert [vector.values[COUNT_30D] for vector in found] == [1, 2, 2]


def test_old_records_are_dropped_and_vectors_stay_right() -> None:
    handler, store = new_handler()
    for number in range(300):
        (latest,) = vectors(handler, payment(f"t{number}", after=number * DAY), first_offset=number)
    assert latest.values[COUNT_30D] == 30
    assert max(len(value) for value in store._values.values()) < 60 * RECORD_BYTES


def test_an_event_that_arrives_late_is_computed_as_of_its_own_time_and_corrects_later_reads() -> None:
    handler, _ = new_handler()
    vectors(handler, payment("first"), first_offset=0)
    vectors(handler, payment("third", after=3 * DAY), first_offset=1)
    (late,) = vectors(handler, payment("second", after=2 * DAY), first_offset=2)
    (fourth,) = vectors(handler, payment("fourth", after=4 * DAY), first_offset=3)
    assert late.values[COUNT_30D] == 2  # it does not see the payment that happened after it
    assert fourth.values[COUNT_30D] == 4


def test_a_label_dated_ahead_does_not_push_payments_out_of_their_window() -> None:
    handler, store = new_handler()
    times = [n * DAY / 4 for n in range(4 * 90)]
    events = [payment(f"t{n}", after=at) for n, at in enumerate(times)]
    for offset, event in enumerate(events):
        vectors(handler, event, first_offset=offset)
        vectors(handler, label(event, "genuine", known_after=30 * DAY), first_offset=10_000 + offset)
    (latest,) = vectors(handler, payment("latest", after=90 * DAY), first_offset=20_000)
    assert latest.values[COUNT_30D] == 4 * 30
    assert max(len(value) for value in store._values.values()) < 1.6 * len(events) * RECORD_BYTES
