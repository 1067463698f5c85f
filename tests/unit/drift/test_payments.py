from datetime import datetime, timedelta
from itertools import permutations
from typing import Literal

from services.drift.labels.payments import Labelled, Payment, Payments
from shared.contracts.events import Decision, Label, LabelValue, Verdict
from shared.contracts.ids import derived_event_id
from tests.events import START, TRACE_ID

DELAY = timedelta(days=7)


def join(payments: Payments, number: int, at: datetime = START) -> Payment | None:
    return payments.vector(f"t{number}", at, (1, 0), 1_000) or payments.decision(decision(number))


def decision(number: int, verdict: Verdict = "review", version: int = 1) -> Decision:
    return Decision(
        event_id=derived_event_id(START, "scores", str(number)),
        occurred_at=START,
        trace_id=TRACE_ID,
        transaction_id=f"t{number}",
        card_id=f"card-{number}",
        decision=verdict,
        score=0.8,
        reasons=[],
        model_name="fraud",
        model_version=version,
        model_digest=None,
        feature_version="f" * 64,
        vector_digest="1" * 64,
        policy_digest="2" * 64,
    )


def label(number: int, value: LabelValue = "fraud", known_after: timedelta = timedelta(days=1)) -> Label:
    return Label(
        event_id=derived_event_id(START, "labels", str(number), value),
        occurred_at=START + known_after,
        trace_id=TRACE_ID,
        transaction_id=f"t{number}",
        card_id=f"card-{number}",
        label=value,
        source="review",
    )


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def test_a_payment_is_whole_once_its_vector_and_decision_came_in_any_order_and_its_label_sticks() -> None:
    for order in permutations(("vector", "decision", "label")):
        payments = Payments(100, DELAY)
        whole: list[Payment] = []
        for step in order:
            match step:
                case "vector":
                    made = payments.vector("t1", START, (1, 0), 1_000)
                case "decision":
                    made = payments.decision(decision(1))
                case _:
                    payments.label(label(1))
                    made = None
            whole += [made] if made else []
        assert len(whole) == 1, order
        (payment,) = whole
        assert (payment.at, payment.flagged, payment.score, payment.label) == (START, True, 0.8, "fraud"), order


def test_what_comes_twice_changes_nothing() -> None:
    payments = Payments(100, DELAY)
    assert join(payments, 1) is not None
    assert join(payments, 1) is None
    assert payments.label(label(1)) is not None
    assert payments.label(label(1)) is None
    assert payments.contradictions == 0


def test_of_labels_that_contradict_each_other_the_one_that_became_known_last_holds() -> None:
    payments = Payments(100, DELAY)
    payment = join(payments, 1)
    assert payment is not None
    said: list[tuple[LabelValue, int]] = [("fraud", 1), ("genuine", 3), ("fraud", 2), ("fraud", 4)]
    changes = [payments.label(label(1, value, timedelta(days=day))) for value, day in said]
    assert changes == [
        Labelled(payment, None, "fraud"),
        Labelled(payment, "fraud", "genuine"),
        None,
        Labelled(payment, "genuine", "fraud"),
    ]
    assert payments.contradictions == 2


def test_payments_mature_once_when_event_time_has_passed_their_label_delay() -> None:
    payments = Payments(10_000, DELAY)
    for number in range(2_000):
        join(payments, number, START + minutes(10 * number))
    matured = payments.matured()
    newest = START + minutes(10 * 2_000)
    assert [payment.transaction_id for payment in matured] == [f"t{number}" for number in range(len(matured))]
    assert timedelta(0) <= newest - DELAY - matured[-1].at < timedelta(hours=5)
    assert payments.matured() == []


def test_payments_with_a_wrong_date_mature_nothing_but_a_jump_of_the_whole_stream_is_followed() -> None:
    payments = Payments(10_000, DELAY)
    for number in range(100):
        join(payments, number, START + minutes(number))
    for number in range(100, 105):
        join(payments, number, START + timedelta(days=3_650))
    assert payments.matured() == []
    for number in range(200, 230):
        join(payments, number, START + timedelta(days=30, minutes=number))
    assert len(payments.matured()) == 100


def test_memory_is_bounded_and_what_is_kept_is_a_sample_of_all_payments() -> None:
    payments = Payments(500, DELAY)
    kept = [number for number in range(8_000) if join(payments, number, START + minutes(number / 4))]
    found = [number for number in range(8_000) if payments.label(label(number))]
    assert 200 < len(found) <= 500
    assert set(found) <= set(kept)
    assert 1 / 64 <= payments.sampled_share <= 1 / 16
    by_half = [sum(4_000 * part <= number < 4_000 * (part + 1) for number in found) for part in range(2)]
    assert min(by_half) > 0.6 * len(found) / 2, "early payments must be sampled like late ones"


def test_payments_whose_label_delay_is_over_make_room_before_any_other_is_sampled_out() -> None:
    payments = Payments(1_000, DELAY)
    for number in range(5_000):
        join(payments, number, START + minutes(20 * number))  # 504 in a label delay
        payments.matured()
    assert payments.sampled_share == 1.0
    assert all(payments.label(label(number)) for number in range(4_500, 5_000))


def test_the_sample_grows_again_when_traffic_falls() -> None:
    payments = Payments(400, DELAY)
    for number in range(3_000):
        join(payments, number, START + minutes(number / 4))
    crowded = payments.sampled_share
    assert crowded < 1
    for number in range(3_000, 15_000):
        join(payments, number, START + minutes(3_000 / 4 + 240 * (number - 3_000)))
        if number % 20 == 0:
            payments.matured()
    assert payments.sampled_share > crowded


def test_payments_dated_far_ahead_cannot_crowd_out_the_others() -> None:
    payments = Payments(1_000, DELAY)
    for number in range(6_000):
        ahead = timedelta(days=3_650) if number % 4 == 0 else timedelta(0)
        join(payments, number, START + minutes(20 * number) + ahead)
        if number % 20 == 0:
            payments.matured()
    assert payments.sampled_share == 1.0
    assert payments.misdated > 500


def test_what_never_finds_its_other_half_is_given_up_and_counted() -> None:
    payments = Payments(400, DELAY)
    kinds: tuple[Literal["vector", "decision", "label"], ...] = ("vector", "decision", "label")
    for start, kind in enumerate(kinds):
        for number in range(1_000 * start, 1_000 * start + 150):
            if kind == "vector":
                payments.vector(f"t{number}", START, (), 1)
            elif kind == "decision":
                payments.decision(decision(number))
            else:
                payments.label(label(number))
    assert (payments.unjoined, payments.unmatched_labels) == (100, 50)
