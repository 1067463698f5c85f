import numpy as np
import numpy.typing as npt
import pytest

from services.drift.data.neighbours import Neighbours, two_sample

DAYS = 28
BINS = 5


def drawn(seed: int, *, payments: int = 1_000) -> npt.NDArray[np.int64]:
    """Counts of days, of one place and two quantities: the first rises on two days of seven, the second tells which."""
    chance = np.random.default_rng(seed)
    counts = np.zeros((DAYS, 1, 2, BINS), dtype=np.int64)
    for day in range(DAYS):
        shares = [0.1, 0.2, 0.2, 0.2, 0.3] if day % 7 >= 5 else [0.3, 0.2, 0.2, 0.2, 0.1]
        counts[day, 0, 0] = chance.multinomial(payments, shares)
        counts[day, 0, 1, int(day % 7 >= 5)] = payments
    return counts


def test_the_statistic_by_hand() -> None:
    counts, others = np.array([60.0, 40.0, 0.0]), np.array([100.0, 300.0, 0.0])
    ratio = np.sqrt(400 / 100)
    by_hand = (ratio * 60 - 100 / ratio) ** 2 / 160 + (ratio * 40 - 300 / ratio) ** 2 / 340
    assert two_sample(counts.astype(np.float32), others.astype(np.float32)) == pytest.approx(by_hand)
    assert two_sample(counts.astype(np.float32), counts.astype(np.float32)) == pytest.approx(0)


def test_too_few_payments_say_nothing() -> None:
    few, many = np.array([20.0, 29.0], dtype=np.float32), np.array([200.0, 300.0], dtype=np.float32)
    assert np.isnan(two_sample(few, many))
    assert np.isnan(two_sample(many, few))
    assert not np.isnan(two_sample(many, many))


def test_a_sunday_is_held_against_sundays() -> None:
    counts = drawn(1)
    known = Neighbours(counts[:-7], np.arange(DAYS - 7))
    for day in range(DAYS - 7, DAYS):
        compared = known.compare(counts[day])
        assert compared.matched[0, 1].tolist() == ([0, 1, 0, 0, 0] if day % 7 >= 5 else [1, 0, 0, 0, 0])
        assert compared.log_distance[0, 0] < np.log(4 + 20), "a draw of the same shares"


def test_reference_days_are_as_far_from_each_other_as_days_to_come_are_from_them() -> None:
    counts = np.concatenate([drawn(2), drawn(3)])
    known = Neighbours(counts[:DAYS], np.arange(DAYS))
    usual = np.array(known.usual())
    later = np.array([known.compare(own).log_distance for own in counts[DAYS:]])
    assert usual.shape == later.shape == (DAYS, 1, 2)
    assert usual[:, 0, 0].mean() == pytest.approx(later[:, 0, 0].mean(), abs=0.25)


def test_a_busier_day_is_no_farther_away() -> None:
    shares = np.array([0.3, 0.2, 0.2, 0.2, 0.1])
    known = Neighbours(drawn(4), np.arange(DAYS))
    usual = (1_000 * np.array([shares + np.array([0.02, -0.02, 0, 0, 0]), [1, 0, 0, 0, 0]])).astype(np.int64)[None]
    assert known.compare(20 * usual).log_distance == pytest.approx(known.compare(usual).log_distance, abs=1e-3)
