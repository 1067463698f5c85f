import numpy as np
import numpy.typing as npt
import pytest

from services.drift.data.noise import PAIRS_MIN, Noise

WATCHES = 2_000


def p_values(series: npt.NDArray[np.float64], *, learnt: int) -> npt.NDArray[np.float64]:
    """p of each day after the first `learnt`, which is learnt from in turn; series: shape (days, watches)."""
    noise = Noise(np.zeros(series.shape[1]))
    for values in series[:learnt]:
        noise.learn(values)
    made = []
    for values in series[learnt:]:
        made.append(noise.p_of(values))
        noise.learn(values)
    return np.array(made)


def persistent(seed: int, days: int, kept: float) -> npt.NDArray[np.float64]:
    chance = np.random.default_rng(seed)
    series = [chance.normal(size=WATCHES)]
    for _ in range(days - 1):
        series.append(kept * series[-1] + np.sqrt(1 - kept**2) * chance.normal(size=WATCHES))
    return np.array(series)


@pytest.mark.parametrize("kept", [0.0, 0.5])
@pytest.mark.parametrize("learnt", [8, 30])
def test_of_usual_days_as_many_are_unlikely_as_should_be(kept: float, learnt: int) -> None:
    made = p_values(persistent(1, learnt + 30, kept), learnt=learnt)
    for level in (0.5, 0.05, 0.01):
        assert (made < level).mean() == pytest.approx(level, rel=0.3)


def test_what_stays_high_for_long_does_not_speak_again_every_day() -> None:
    made = p_values(persistent(2, 90, 0.95), learnt=60)
    unlikely = made < 0.05
    again = (unlikely[1:] & unlikely[:-1]).sum() / unlikely[:-1].sum()
    assert again < 0.1, "after an unlikely day the next one is no likelier to be one"


def test_a_jump_is_unlikely() -> None:
    series = np.random.default_rng(3).normal(size=(31, 1))
    series[30] = 8.0
    assert p_values(series, learnt=30)[0, 0] < 1e-6
    series[30] = -8.0
    assert p_values(series, learnt=30)[0, 0] > 0.999, "nearer than usual is no drift"


def test_nothing_is_told_before_there_are_days_and_missing_ones_are_passed_over() -> None:
    noise = Noise(np.full(2, 0.1))
    for day in range(PAIRS_MIN):
        noise.learn(np.array([float(day % 2), np.nan]))
        assert np.isnan(noise.p_of(np.array([0.5, 0.5]))).all()
    noise.learn(np.array([0.0, np.nan]))
    p = noise.p_of(np.array([0.5, 0.5]))
    assert 0 < p[0] < 1
    assert np.isnan(p[1])
    assert np.isnan(noise.p_of(np.array([np.nan, np.nan]))).all()


def test_a_series_without_spread_is_not_taken_for_exact() -> None:
    noise = Noise(np.full(1, 0.5))
    for _ in range(30):
        noise.learn(np.ones(1))
    assert noise.p_of(np.full(1, 1.2))[0] > 0.3
    assert noise.p_of(np.full(1, 9.0))[0] < 1e-9
