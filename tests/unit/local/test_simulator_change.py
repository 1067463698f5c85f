"""What changes in a simulated world: by the calendar, and for good, and that nothing else does."""

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from services.local.simulation.change import DISGUISE_CATEGORY, Drift, Rhythm
from services.local.simulation.simulator import (
    LARGE_AMOUNT_CENTS,
    Scenario,
    SimulatedPayment,
    Simulator,
    SimulatorConfig,
)

CONFIG = SimulatorConfig(seed=7, cards=500, merchants=1_000)
FROM_DAY, DAYS = 20, 30


def streamed(*drifts: Drift, rhythm: Rhythm = CONFIG.rhythm, count: int = DAYS) -> list[SimulatedPayment]:
    simulator = Simulator(replace(CONFIG, drifts=drifts, rhythm=rhythm))
    end = CONFIG.start + timedelta(days=count)
    return list(itertools.takewhile(lambda made: made.transaction.occurred_at < end, simulator.payments()))


def day_of(made: SimulatedPayment) -> int:
    return (made.transaction.occurred_at - CONFIG.start).days


def since_drift(payments: list[SimulatedPayment]) -> list[SimulatedPayment]:
    return [made for made in payments if day_of(made) >= FROM_DAY]


def mean_amount(payments: list[SimulatedPayment], taken: Callable[[SimulatedPayment], bool]) -> float:
    amounts = [made.transaction.amount for made in payments if taken(made)]
    return sum(amounts) / len(amounts)


@pytest.fixture(scope="module")
def stable() -> list[SimulatedPayment]:
    return streamed()


@pytest.mark.parametrize(
    "drift",
    [
        Drift("covariate", FROM_DAY, factor=1.5),
        Drift("concept", FROM_DAY),
        Drift("prior", FROM_DAY, factor=3),
        Drift("new_pattern", FROM_DAY),
    ],
    ids=lambda drift: drift.kind,
)
def test_before_a_drift_nothing_is_different(stable: list[SimulatedPayment], drift: Drift) -> None:
    drifted = streamed(drift)
    assert [made for made in drifted if day_of(made) < FROM_DAY] == [made for made in stable if day_of(made) < FROM_DAY]
    assert since_drift(drifted) != since_drift(stable)


def test_covariate_drift_raises_amounts_and_leaves_what_is_fraud(stable: list[SimulatedPayment]) -> None:
    drifted = streamed(Drift("covariate", FROM_DAY, factor=1.5))
    before, after = since_drift(stable), since_drift(drifted)
    assert [made.scenario for made in after] == [made.scenario for made in before]
    assert 1.35 < mean_amount(after, lambda _: True) / mean_amount(before, lambda _: True) <= 1.5
    assert all(made.is_fraud for made in after if made.transaction.amount > LARGE_AMOUNT_CENTS)


def test_gradual_drift_comes_evenly(stable: list[SimulatedPayment]) -> None:
    drifted = streamed(Drift("covariate", FROM_DAY, over_days=10, factor=1.5))
    ratios = [
        mean_amount(drifted, lambda made, day=day: day_of(made) == day)  # type: ignore[misc]
        / mean_amount(stable, lambda made, day=day: day_of(made) == day)  # type: ignore[misc]
        for day in (FROM_DAY - 1, FROM_DAY + 2, FROM_DAY + 5, FROM_DAY + 9)
    ]
    assert ratios[0] == 1
    assert ratios == sorted(ratios)
    assert ratios[-1] > 1.3


def test_one_country_may_drift_alone(stable: list[SimulatedPayment]) -> None:
    drifted = streamed(Drift("covariate", FROM_DAY, factor=1.5, country="DE"))
    elsewhere, there = (
        [made for made in drifted if (made.transaction.country == "DE") == is_there] for is_there in (False, True)
    )
    assert elsewhere == [made for made in stable if made.transaction.country != "DE"]
    assert mean_amount(since_drift(there), lambda _: True) > 1.3 * mean_amount(
        since_drift(stable), lambda made: made.transaction.country == "DE"
    )


def test_concept_drift_leaves_genuine_payments_and_makes_frauds_look_ordinary(stable: list[SimulatedPayment]) -> None:
    drifted = streamed(Drift("concept", FROM_DAY))
    assert [made for made in drifted if not made.is_fraud] == [made for made in stable if not made.is_fraud]
    frauds = [made for made in since_drift(drifted) if made.is_fraud]
    assert len(frauds) == sum(made.is_fraud for made in since_drift(stable))
    assert {made.scenario for made in frauds} == {Scenario.DISGUISED}
    assert {(made.transaction.mcc, made.transaction.channel) for made in frauds} == {(DISGUISE_CATEGORY, "ecommerce")}
    assert max(made.transaction.amount for made in frauds) < LARGE_AMOUNT_CENTS


def test_prior_drift_multiplies_who_is_defrauded(stable: list[SimulatedPayment]) -> None:
    before, after = (
        Counter(made.scenario for made in since_drift(payments))
        for payments in (stable, streamed(Drift("prior", FROM_DAY, factor=3)))
    )
    for scenario in (Scenario.COMPROMISED_CARD, Scenario.COMPROMISED_MERCHANT):
        assert 2 * before[scenario] < after[scenario] < 4 * before[scenario]


def test_a_new_pattern_is_card_testing_switched_on(stable: list[SimulatedPayment]) -> None:
    drifted = streamed(Drift("new_pattern", FROM_DAY))
    assert [made for made in drifted if made.scenario is not Scenario.CARD_TESTING] == stable
    simulator = Simulator(CONFIG)
    simulator.start_new_pattern(CONFIG.start + timedelta(days=FROM_DAY))
    assert drifted == list(itertools.islice(simulator.payments(), len(drifted)))


def test_the_calendar_comes_back() -> None:
    rhythm = Rhythm(weekend=0.5, payday=2.0, payday_amount=1.5)
    payments = streamed(rhythm=rhythm, count=28)
    by_day = Counter(made.transaction.occurred_at.date() for made in payments)
    paydays = [count for day, count in by_day.items() if day.day in range(25, 28)]
    weekends, working = (
        [count for day, count in by_day.items() if (day.weekday() >= 5) == is_weekend and day.day < 25]
        for is_weekend in (True, False)
    )
    usual = sum(working) / len(working)
    assert sum(weekends) / len(weekends) == pytest.approx(usual / 2, rel=0.1)
    # 2026-01-25 is a Sunday.
    assert sum(paydays) / len(paydays) == pytest.approx(usual * (1 + 2 + 2) / 3, rel=0.1)
    is_payday = [made for made in payments if made.transaction.occurred_at.day in range(25, 28)]
    assert mean_amount(is_payday, lambda _: True) > 1.3 * mean_amount(
        payments, lambda made: made.transaction.occurred_at.day < 25
    )


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: Drift("prior", 1, factor=3, country="DE"), "has no country"),
        (lambda: Drift("prior", 1, factor=0.5), "at least 1"),
        (lambda: Drift("new_pattern", 1, over_days=3), "whole at once"),
        (lambda: Drift("covariate", 1, factor=0), "above 0"),
        (lambda: Drift("covariate", 1, over_days=0, factor=2), "over_days"),
        (lambda: streamed(Drift("concept", 0, country="XX"), count=1), "no online shop"),
    ],
)
def test_a_drift_that_makes_no_sense_is_refused(made: Callable[[], object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        made()
