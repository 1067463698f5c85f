from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from services.local.simulation.simulator import SimulatedPayment, Simulator, SimulatorConfig
from tests.benchmarks.drift_loop import figures
from tests.benchmarks.drift_loop_arms import Arms
from tests.benchmarks.drift_loop_live import STEP, Plan, hours
from tests.benchmarks.drift_loop_outcome import Lived, LivePayment, missed, recall

START = datetime(2026, 1, 1, tzinfo=UTC)


def payments() -> list[LivePayment]:
    """Ten payments an hour apart; every other one is fraud, from the fifth on of the new pattern."""
    return [LivePayment(f"t{n}", START + n * STEP, 100 * n, n % 2 == 0, n >= 4 and n % 2 == 0) for n in range(10)]


def lived(*, renewed: int | None) -> Lived:
    flagged = np.array([1, 0, 1, 0, 0, 0, 0, 0, 1, 0], dtype=np.bool_)
    return Lived(payments(), flagged, 4, alarmed=6, asked=7, renewed=renewed, needless=0, trainings=1)


def arms() -> Arms:
    every = np.ones(10, dtype=np.bool_)
    return Arms(never=~every, daily=every, trainings=5)


def test_recall_and_losses_are_of_the_stretch_alone() -> None:
    whole = lived(renewed=8)
    assert recall(whole.payments, whole.flagged, since=0, until=4) == 1.0
    assert recall(whole.payments, whole.flagged, since=4) == pytest.approx(1 / 3)
    assert missed(whole.payments, whole.flagged, since=4, until=8) == (2, 400 + 600)
    assert missed(whole.payments, whole.flagged, since=8) == (0, 0)


def test_what_is_published_tells_delays_and_all_three_ways() -> None:
    told = {figure.key: figure for figure in figures(lived(renewed=8), arms())}
    assert told["champion_payments"].ours == 4
    assert told["champion_days"].ours == pytest.approx(3 / 24)
    assert (told["missed_until"].ours, told["missed_until"].beside) == (2, 0)
    assert (told["recall_after"].ours, told["recall_after_never"].beside) == (1.0, 0.0)
    assert told["recall_after"].goal == ">= 0.90"
    assert told["trainings"].goal == "<= 1.0"


def test_a_champion_that_never_came_is_told_as_such() -> None:
    told = {figure.key: figure for figure in figures(lived(renewed=None), arms())}
    assert told["champion_days"].ours == -1
    assert "recall_after" not in told


def test_the_stream_comes_by_the_hour_until_the_plan_ends() -> None:
    plan = Plan(SimulatorConfig(cards=20, merchants=20, start=START, label_delay=timedelta(days=1)), 1, 1, 1)
    simulator = Simulator(plan.world)
    simulator.start_new_pattern(plan.changed_at)
    told = list(hours(simulator, plan))
    assert len(told) == 3 * 24
    times = [
        event.transaction.occurred_at if isinstance(event, SimulatedPayment) else event.occurred_at
        for hour in told
        for event in hour
    ]
    assert all(earlier <= later for earlier, later in pairwise(times))
    assert times[-1] < plan.until == START + timedelta(days=3)
