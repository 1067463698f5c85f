"""Evidence keeps its promise: while all is well it takes long enough, and once something has changed it does not."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.drift.evidence import QUARTER_DAYS, Budget, Evidence, log_e_of_mean, log_e_of_p

DAY = timedelta(days=1)
START = datetime(2026, 1, 1, tzinfo=UTC)
FALLS = np.array([0.63, 0.525, 0.35, 0.175])
THRESHOLD_DAYS = 60.0


def days_to_alarm(random: np.random.Generator, *, rate: float, watches: int, trials_a_day: int = 5) -> int:
    """Return after how many days watches of one and the same stream, expected to succeed in 0.7, raise an alarm."""
    bets = len(FALLS)
    evidence = Evidence(np.full(watches * bets, 1 / (watches * bets)))
    for day in range(1, 2_000):
        evidence.stake(1.0)
        for success in random.random(trials_a_day) < rate:
            evidence.observe(np.tile(log_e_of_mean(float(success), 0.7, FALLS), watches), START + day * DAY)
            if evidence.days >= THRESHOLD_DAYS:
                return day
    return 2_000


@pytest.mark.parametrize("watches", [1, 5])
def test_false_alarms_are_as_rare_as_promised_however_the_watches_depend(watches: int) -> None:
    random = np.random.default_rng(7)
    runs = [days_to_alarm(random, rate=0.7, watches=watches) for _ in range(60)]
    assert np.mean(runs) >= THRESHOLD_DAYS


def test_a_fall_by_half_is_noticed_within_days() -> None:
    random = np.random.default_rng(8)
    assert np.median([days_to_alarm(random, rate=0.35, watches=5) for _ in range(20)]) <= 6


def test_a_budget_is_split_by_shares() -> None:
    budget = Budget(alarms_a_quarter=2.0)
    assert budget.threshold_days(1.0) == pytest.approx(QUARTER_DAYS / 2)
    rates = [1 / budget.threshold_days(share) for share in (0.5, 0.3, 0.2)]
    assert sum(rates) == pytest.approx(2 / QUARTER_DAYS)


def test_p_values_are_worth_no_more_than_one_on_average() -> None:
    p = np.exp(np.linspace(np.log(1e-12), 0, 200_001))
    worth = np.exp(log_e_of_p(p))
    assert np.trapezoid(worth, p) <= 1
    assert np.all(np.diff(worth) <= 0)
    assert np.isfinite(log_e_of_p(np.array([0.0, 1.0]))).all()


@given(
    st.floats(0.02, 0.98),
    st.floats(0.01, 0.99),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_a_bet_gains_nothing_while_the_mean_holds(expected: float, part: float, first: float, second: float) -> None:
    below = np.array([expected * part])
    mean = (first + second) / 2
    if mean >= expected:
        worth = np.exp([log_e_of_mean(x, expected, below)[0] for x in (first, second)])
        assert worth.mean() <= 1 + 1e-9


def test_it_tells_which_watch_speaks_loudest_and_since_when() -> None:
    evidence = Evidence(np.array([0.5, 0.5]))
    for day in range(20):
        evidence.stake(1.0)
        evidence.observe(np.array([-0.1, -0.1 if day < 12 else 1.0]), START + day * DAY)
    assert evidence.weighted_days.argmax() == 1
    assert evidence.since(1) == START + 11 * DAY
    evidence.reset()
    assert evidence.days == 0
    assert evidence.since(1) is None
