"""Simulated traffic by a clock of the test's own: how much is sent, when, and what of it is refused."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from services.ingest.replay.courier import Courier
from services.local.simulation.sending import Progress, Simulation, SimulationPlan
from services.local.simulation.sent_payments import LivePayments, Pace
from services.local.simulation.simulator import SimulatorConfig
from shared.contracts.events import Label, Transaction
from shared.runtime.clock import ManualClock
from tests.unit.ingest.serving import NOW, Running, serving

WORLD = SimulatorConfig(cards=200, merchants=400, bursts_daily=0.05, genuine_labelled_share=0.1)
RATE = 200.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def ingest(clock: ManualClock) -> Iterator[Running]:
    with serving(clock=clock) as running:
        yield running


def simulated(ingest: Running, clock: ManualClock, plan: SimulationPlan) -> list[Progress]:
    """Run `plan` as fast as it goes; return every progress told."""
    told: list[Progress] = []
    payments = LivePayments(WORLD, clock, payments_per_second=RATE, label_delay=timedelta(seconds=3))
    courier = Courier(ingest.url, api_key=None, patience_seconds=5.0, waiting=print)
    simulation = Simulation(courier, payments, clock)
    simulation.run(plan, tell=told.append, wait=lambda seconds: clock.advance(timedelta(seconds=seconds)))
    courier.close()
    return told


def transactions(ingest: Running) -> list[Transaction]:
    return [event for event in ingest.events("transactions") if isinstance(event, Transaction)]


def test_as_many_are_sent_as_the_rate_says_and_all_are_taken(ingest: Running, clock: ManualClock) -> None:
    *_, end = simulated(ingest, clock, SimulationPlan(seconds=10.0))
    assert end.payments == len(transactions(ingest)) == pytest.approx(10 * RATE, abs=1)
    assert end.refused == 0
    assert not end.has_drifted
    labels = [event for event in ingest.events("labels") if isinstance(event, Label)]
    assert end.labels == len(labels) > 0
    paid = {payment.transaction_id: payment.occurred_at for payment in transactions(ingest)}
    assert {label.occurred_at - paid[label.transaction_id] for label in labels} == {timedelta(seconds=3)}


def test_the_new_pattern_begins_when_it_should(ingest: Running, clock: ManualClock) -> None:
    # A day of this world is about 400 payments: two seconds.
    told = simulated(ingest, clock, SimulationPlan(seconds=30.0, drift_after_seconds=10.0))
    before = [progress for progress in told if not progress.has_drifted]
    assert before[-1].seconds == pytest.approx(10.0, abs=0.2)
    small = [payment for payment in transactions(ingest) if payment.amount <= 200]
    tested_before = sum(payment.occurred_at < NOW + timedelta(seconds=10) for payment in small)
    assert len(small) - tested_before > 10 * (tested_before + 1)


def test_what_ingest_refuses_is_counted_and_told(ingest: Running, clock: ManualClock) -> None:
    ahead = ManualClock(NOW + timedelta(days=1))
    *_, end = simulated(ingest, ahead, SimulationPlan(seconds=1.0))
    assert end.refused == end.payments > 0
    assert "transactions" in end.refusal
    assert transactions(ingest) == []


def test_what_was_held_up_is_not_made_up_for(clock: ManualClock) -> None:
    pace = Pace(clock, per_second=2.5)
    due = []
    for seconds in (1.0, 1.0, 3600.0, 0.25):
        clock.advance(timedelta(seconds=seconds))
        due.append(pace.due())
    assert due == [2, 3, 2, 1]
