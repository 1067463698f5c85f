import math
import random
from datetime import timedelta

import pytest

from services.drift.distributions import FRACTION_MIN, Divergence, Window, population_stability_index
from services.drift.settings import DriftSettings
from shared.models.manifest import Reference
from tests.events import START

DAY = timedelta(days=1)
TERTILES = Reference(edges=[10.0, 20.0], fractions=[0.25, 0.5, 0.25])


def test_the_index_by_hand() -> None:
    # (0.5 - 0.25) ln 2 + (0.25 - 0.5) ln 0.5 + 0 = 0.5 ln 2
    assert population_stability_index([0.25, 0.5, 0.25], [0.5, 0.25, 0.25]) == pytest.approx(0.5 * math.log(2))
    assert population_stability_index([0.2, 0.8], [0.2, 0.8]) == 0


def test_an_empty_bin_counts_as_a_stated_share() -> None:
    index = population_stability_index([1.0, 0.0], [0.9, 0.1])
    assert index == pytest.approx(-0.1 * math.log(0.9) + (0.1 - FRACTION_MIN) * math.log(0.1 / FRACTION_MIN))


def test_a_value_on_an_edge_belongs_to_the_bin_above() -> None:
    window = Window(TERTILES, days=1, samples_min=1)
    for value in (9.9, 10.0, 19.9, 20.0):
        window.add(START, value)
    completed = window.add(START + DAY, 0)
    assert completed is not None
    assert completed.fractions == [0.25, 0.5, 0.25]
    assert (completed.samples, completed.psi, completed.whole) == (4, 0, True)


def test_a_code_that_training_did_not_meet_belongs_to_the_last_bin() -> None:
    window = Window(Reference(codes=[3, 9], fractions=[0.5, 0.25, 0.25]), days=1, samples_min=1)
    for code in (3, 3, 9, 4):
        window.add(START, code)
    completed = window.add(START + DAY, 0)
    assert completed is not None
    assert (completed.fractions, completed.psi) == ([0.5, 0.25, 0.25], 0)


def _days(seed: int, *, shift: float = 0.0, payments_a_day: int = 300) -> list[Divergence]:
    """Three weeks of values that are higher on two days of seven, against a reference of four such weeks."""
    chance = random.Random(seed)

    def value(day: int) -> float:
        return chance.gauss(2.0 if day % 7 >= 5 else 0.0, 1.0)

    training = sorted(value(day) for day in range(28) for _ in range(payments_a_day))
    edges = [training[len(training) * tenth // 10] for tenth in range(1, 10)]
    window = Window(Reference(edges=edges, fractions=[0.1] * 10), days=7, samples_min=1_000)
    days = (
        window.add(START + number * DAY / payments_a_day, value(number // payments_a_day) + shift)
        for number in range(22 * payments_a_day)
    )
    return [completed for completed in days if completed is not None]


def test_a_stable_stream_with_weekends_raises_no_alarm() -> None:
    for seed in range(20):
        divergences = _days(seed)
        whole = [divergence for divergence in divergences if divergence.whole]
        assert len(whole) == 15
        assert all(divergence.samples == 2_100 for divergence in whole)
        assert max(divergence.psi for divergence in whole) < 0.1
        assert max(divergence.psi for divergence in divergences if not divergence.whole) > 0.1, "a day is no week"


def test_too_few_payments_are_not_judged() -> None:
    assert not any(divergence.whole for divergence in _days(1, payments_a_day=50))


def test_a_shift_of_one_standard_deviation_is_beyond_the_threshold() -> None:
    first_whole = next(divergence for divergence in _days(1, shift=1.0) if divergence.whole)
    assert first_whole.psi > DriftSettings().headrace_drift_psi_threshold


@pytest.mark.parametrize("misdated", [0, 12])
def test_a_payment_dated_years_ahead_does_not_stop_the_watch(misdated: int) -> None:
    window = Window(TERTILES, days=2, samples_min=1)
    completed = []
    for hour in range(24 * 5 + 2):
        at = START + timedelta(hours=hour) + (timedelta(days=9_000) if hour == misdated else timedelta())
        completed.append(window.add(at, 15))
    assert sum(divergence is not None for divergence in completed) in {4, 5}
