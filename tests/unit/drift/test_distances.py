import math

import numpy as np
import pytest
from scipy.stats import ks_2samp
from scipy.stats import wasserstein_distance as of_samples

from services.drift.data.distances import (
    SHARE_MIN,
    chi_squared_p,
    jensen_shannon_distance,
    kolmogorov_smirnov,
    population_stability_index,
    wasserstein_distance,
)
from shared.models.manifest import Reference


def test_the_stability_index_by_hand() -> None:
    # (0.5 - 0.25) ln 2 + (0.25 - 0.5) ln 0.5 + 0 = 0.5 ln 2
    was, now = np.array([0.25, 0.5, 0.25]), np.array([0.5, 0.25, 0.25])
    assert population_stability_index(was, now) == pytest.approx(0.5 * math.log(2))
    assert population_stability_index(was, was) == 0
    assert population_stability_index(np.array([was, was]), np.array([now, was])) == pytest.approx(
        [0.5 * math.log(2), 0]
    )


def test_an_empty_bin_counts_as_a_stated_share() -> None:
    index = population_stability_index(np.array([1.0, 0.0]), np.array([0.9, 0.1]))
    assert index == pytest.approx(-0.1 * math.log(0.9) + (0.1 - SHARE_MIN) * math.log(0.1 / SHARE_MIN))


def test_the_jensen_shannon_distance_goes_from_nothing_to_everything() -> None:
    assert jensen_shannon_distance(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 0
    assert jensen_shannon_distance(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(1)


def test_distances_of_values_are_those_of_the_samples_as_fine_as_the_bins() -> None:
    chance = np.random.default_rng(1)
    before, after = chance.normal(100, 10, 20_000), chance.normal(107, 12, 20_000)
    low, high = before.min(), before.max()
    made = Reference(edges=np.arange(60, 141, 1.0).tolist(), fractions=[1 / 82] * 82)
    was, now = (np.bincount(made.bins_of(values), minlength=82) / len(values) for values in (before, after))
    assert kolmogorov_smirnov(made, was, now) == pytest.approx(ks_2samp(before, after).statistic, abs=0.01)
    assert wasserstein_distance(made, low, high, was, now) == pytest.approx(of_samples(before, after), rel=0.05)


def test_distances_of_categories_know_no_order() -> None:
    made = Reference(codes=[1, 2, 3], fractions=[0.5, 0.2, 0.3, 0.0])
    was, now = np.array([0.5, 0.2, 0.3, 0.0]), np.array([0.4, 0.3, 0.2, 0.1])
    assert kolmogorov_smirnov(made, was, now) == pytest.approx(0.2)
    assert wasserstein_distance(made, 0, 0, was, now) is None


def test_a_constant_is_no_distance_away() -> None:
    made, only = Reference(fractions=[1.0]), np.array([1.0])
    assert kolmogorov_smirnov(made, only, only) == 0
    assert wasserstein_distance(made, 3.0, 3.0, only, only) == 0
    assert wasserstein_distance(made, -math.inf, math.inf, only, only) is None, "how wide the bin is, nobody knows"
    assert chi_squared_p(np.array([400.0]), np.array([90.0])) == 1


def test_the_chi_squared_p_of_equal_and_of_different_samples() -> None:
    assert chi_squared_p(np.array([500.0, 500.0, 0.0]), np.array([50.0, 50.0, 0.0])) == pytest.approx(1)
    assert chi_squared_p(np.array([500.0, 500.0]), np.array([80.0, 20.0])) < 1e-6
    assert chi_squared_p(np.array([500.0, 500.0]), np.zeros(2)) == 1, "no payments yet"
