"""Guard rails: a model that ranks well may still be too slow, off in its probabilities, or bad for some."""

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from services.training.gates.guard_rails import better_than_chance, calibration, latency, worst_segment


class Slow:
    """A model that takes as long as its clock says."""

    def scores(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return rows[:, 0]


@pytest.mark.parametrize(("seconds", "passed"), [(0.001, True), (0.01, False)])
def test_a_slow_model_is_stopped(seconds: float, passed: bool) -> None:
    ticks = itertools.count()
    rail = latency(
        Slow(),  # type: ignore[arg-type]
        np.zeros((1, 2), dtype=np.float32),
        microseconds_max=2_000,
        monotonic_seconds=lambda: next(ticks) * seconds,
    )
    assert rail.passed is passed
    assert "2000 us" in rail.explanation


def test_a_badly_calibrated_model_is_stopped() -> None:
    assert calibration(0.01, error_max=0.05).passed
    assert not calibration(0.2, error_max=0.05).passed


def test_a_model_no_better_than_chance_is_stopped() -> None:
    assert better_than_chance(0.3, 0.01).passed
    assert not better_than_chance(0.009, 0.01).passed


def test_a_segment_that_is_left_behind_is_named() -> None:
    rng = np.random.default_rng(0)
    frauds = (rng.random(4_000) < 0.1).astype(np.int8)
    cards = rng.integers(0, 400, 4_000)
    abroad = rng.random(4_000) < 0.2
    champion = frauds * 2 + rng.normal(0, 1, 4_000)
    challenger = np.where(abroad, rng.normal(0, 1, 4_000), champion + frauds)
    segments = [("country=DE", ~abroad), ("country=BR", abroad), ("rare", np.arange(4_000) < 20)]
    rail = worst_segment(champion, challenger, frauds, cards, segments, loss_max=0.1)
    assert not rail.passed
    assert "country=BR" in rail.explanation
    assert worst_segment(champion, challenger, frauds, cards, segments[:1], loss_max=0.1).passed


def test_segments_too_small_to_tell_say_so() -> None:
    frauds = np.array([1, 0] * 10, dtype=np.int8)
    scores = np.arange(20.0)
    everything = [("all", np.ones(20, dtype=np.bool_))]
    rail = worst_segment(scores, scores, frauds, np.arange(20), everything, loss_max=0.1)
    assert rail.passed
    assert "no segment" in rail.explanation
