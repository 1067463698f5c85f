"""The demo's bookkeeping: each payment counted once, recall and precision against the truth."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import islice
from typing import Any

import pytest

from services.local.demo.ledger import Decided, Ledger, Phase, detection, latency_ms
from services.local.demo.live import Story, during_and_after, newest_version
from services.local.demo.plan import DEMO_PLAN, DemoError
from services.local.demo.shop_ledger import ShopLedger
from services.local.demo.summary import check, summarise
from services.local.demo.watch import Seen
from services.local.simulation.simulator import SimulatedPayment, Simulator, SimulatorConfig
from shared.contracts.events import Decision, ModelEvent, RetrainingRequest, Verdict

CONFIG = SimulatorConfig(cards=200, merchants=400, bursts_daily=0.05)
ENVELOPE: dict[str, Any] = {
    "occurred_at": CONFIG.start,
    "trace_id": "0" * 32,
    "event_id": "0198c0de-0000-7000-8000-000000000000",
}


def decision(payment: SimulatedPayment, verdict: Verdict, version: int = 1) -> Decision:
    transaction = payment.transaction
    return Decision(
        event_id=transaction.event_id,
        occurred_at=transaction.occurred_at,
        trace_id=transaction.trace_id,
        transaction_id=transaction.transaction_id,
        card_id=transaction.card_id,
        decision=verdict,
        score=0.5,
        reasons=[],
        model_name="fraud",
        model_version=version,
        model_digest="0" * 64,
        feature_version="0" * 64,
        vector_digest="0" * 64,
        policy_digest="0" * 64,
    )


def payments(count: int) -> list[SimulatedPayment]:
    return list(islice(Simulator(CONFIG).payments(), count))


def decided(*, fraud: bool, alert: bool, version: int = 1, phase: Phase = Phase.BEFORE, burst: bool = False) -> Decided:
    return Decided(0.0, 0.1, phase, fraud, burst, alert, version)


def test_recall_is_the_share_of_fraud_found_and_precision_of_alerts_right() -> None:
    found = detection(
        [
            *[decided(fraud=True, alert=True)] * 3,
            decided(fraud=True, alert=False),
            *[decided(fraud=False, alert=True)] * 2,
            *[decided(fraud=False, alert=False)] * 10,
        ]
    )
    assert found.recall == pytest.approx(3 / 4)
    assert found.precision == pytest.approx(3 / 5)


def test_no_fraud_means_no_recall_rather_than_a_perfect_one() -> None:
    nothing = detection([decided(fraud=False, alert=False)])
    assert nothing.recall is None
    assert nothing.precision is None
    assert latency_ms([]) is None


def test_review_and_decline_are_alerts_and_approve_is_not() -> None:
    ledger = Ledger()
    verdicts: Sequence[Verdict] = ("approve", "review", "decline")
    for payment, verdict in zip(payments(3), verdicts, strict=True):
        ledger.make(payment, at=1.0, phase=Phase.BEFORE)
        ledger.decide(decision(payment, verdict), at=1.25)
    assert [one.is_alert for one in ledger.decided()] == [False, True, True]
    assert latency_ms(ledger.decided()) == pytest.approx((250, 250))


def test_second_decisions_and_strangers_are_told_apart_and_not_counted_as_decided() -> None:
    ledger = Ledger()
    first, second, stranger = payments(3)
    ledger.make(first, at=0.0, phase=Phase.BEFORE)
    ledger.make(second, at=0.0, phase=Phase.BEFORE)
    for payment in (first, first, stranger):
        ledger.decide(decision(payment, "approve", version=2), at=0.1)
    assert (ledger.made_total, ledger.decided_total) == (2, 1)
    assert (ledger.duplicates, ledger.strangers) == (1, 1)
    assert newest_version(ledger) == 2


def test_old_and_newest_model_are_judged_on_the_new_pattern_s_time_only() -> None:
    during, after = during_and_after(
        [
            decided(fraud=True, alert=True, version=1, phase=Phase.BEFORE),
            decided(fraud=True, alert=False, version=1, phase=Phase.NEW_PATTERN),
            decided(fraud=True, alert=False, version=2, phase=Phase.NEW_PATTERN),
            decided(fraud=True, alert=True, version=3, phase=Phase.NEW_PATTERN),
        ],
        version_before=1,
    )
    assert [one.model_version for one in during] == [1]
    assert [one.model_version for one in after] == [3]


def story(version_before: int = 1) -> Story:
    request = RetrainingRequest(**ENVELOPE, model_name="fraud", requested_by="drift", reason="recall has fallen")
    promotion = ModelEvent(
        **ENVELOPE,
        model_name="fraud",
        model_version=2,
        action="promoted",
        model_digest="0" * 64,
        feature_version="0" * 64,
        actor="training",
        reason="better",
        previous_digest=None,
    )
    return Story(10.0, version_before, Seen(request, 15.0), Seen(promotion, 24.0), shop=None)


def ledger_of(*recalls: float) -> Ledger:
    """Return a ledger with that recall before, during and after, over twenty frauds each."""
    simulator = Simulator(CONFIG)
    simulator.start_new_pattern(CONFIG.start)
    frauds = [payment for payment in islice(simulator.payments(), 2_000) if payment.is_fraud]
    ledger = Ledger()
    stretches = ((Phase.BEFORE, 1), (Phase.NEW_PATTERN, 1), (Phase.NEW_PATTERN, 2))
    for stretch, ((phase, version), recall) in enumerate(zip(stretches, recalls, strict=True)):
        for number, payment in enumerate(frauds[stretch * 20 : stretch * 20 + 20]):
            ledger.make(payment, at=9.0 + stretch * 2, phase=phase)
            ledger.decide(decision(payment, "decline" if number < recall * 20 else "approve", version), at=10.0)
    return ledger


def test_a_demo_in_which_recall_fell_and_recovered_has_gone_well() -> None:
    ledger = ledger_of(0.7, 0.2, 0.65)
    check(ledger, story(), DEMO_PLAN)
    summary = summarise(ledger, ShopLedger(), story(), seconds_total=125.4)
    assert [row.model_version for row in summary.rows[:3]] == ["1", "1", "2"]
    assert [row.recall for row in summary.rows[:3]] == pytest.approx([0.7, 0.2, 0.65])
    assert summary.shop_rows == []
    facts = dict(summary.facts)
    assert facts["decided exactly once"] == "60 of 60 payments, 0 twice"
    assert facts["new model"].endswith("promoted 9.0 s later")
    assert facts["whole demo"] == "2 min 5 s"


@pytest.mark.parametrize("recalls", [(0.7, 0.65, 0.7), (0.7, 0.2, 0.25), (0.2, 0.2, 0.7)])
def test_a_demo_in_which_recall_did_not_fall_or_did_not_recover_has_failed(recalls: tuple[float, float, float]) -> None:
    with pytest.raises(DemoError, match="should have fallen and risen"):
        check(ledger_of(*recalls), story(), DEMO_PLAN)


def test_a_demo_in_which_a_payment_was_decided_twice_or_never_has_failed() -> None:
    twice = ledger_of(0.7, 0.2, 0.65)
    extra = payments(1)[0]
    twice.make(extra, at=0.0, phase=Phase.BEFORE)
    with pytest.raises(DemoError, match="of 61 payments 60 were decided"):
        check(twice, story(), DEMO_PLAN)
    for _ in range(2):
        twice.decide(decision(extra, "approve"), at=1.0)
    with pytest.raises(DemoError, match="1 decisions came twice"):
        check(twice, story(), DEMO_PLAN)


def test_the_simulated_labels_are_known_before_they_count_as_genuine() -> None:
    given = timedelta(days=float(DEMO_PLAN.settings["HEADRACE_TRAINING_LABEL_DELAY_DAYS"]))
    assert DEMO_PLAN.world.label_delay < given
