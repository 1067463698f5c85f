"""What is lost in float32 is told before a model is trained on it."""

import numpy as np

from services.training.gates.float32 import float32_losses

RNG = np.random.default_rng(0)


def test_seconds_since_1970_are_named_with_two_that_become_one() -> None:
    seconds = 1.7e9 + np.arange(1_000)
    (loss,) = float32_losses(np.column_stack([RNG.uniform(0, 500, 1_000), seconds]), ["amount", "paid_at"])
    assert loss.feature == "paid_at"
    assert loss.lost > 0.99
    first, second = loss.example
    assert first != second
    assert np.float32(first) == np.float32(second)
    assert {first, second} <= set(seconds)


def test_the_feature_that_loses_most_comes_first() -> None:
    minutes, seconds = 1.7e9 + 60.0 * np.arange(1_000), 1.7e9 + np.arange(1_000)
    losses = float32_losses(np.column_stack([minutes, seconds]), ["minutes", "seconds"])
    assert [loss.feature for loss in losses] == ["seconds", "minutes"]


def test_counts_amounts_and_shares_lose_nothing() -> None:
    rows = np.column_stack([RNG.poisson(3, 5_000), RNG.integers(1, 10**7, 5_000), RNG.integers(0, 100, 5_000) / 100])
    assert float32_losses(rows, ["count", "amount", "share"]) == []


def test_what_arithmetic_leaves_over_is_not_a_loss() -> None:
    sums = RNG.integers(1, 100, 1_000) / 10
    rows = np.concatenate([sums, np.nextafter(sums, np.inf)])[:, None]
    assert float32_losses(rows, ["mean"]) == []


def test_values_beyond_float32_become_one() -> None:
    (loss,) = float32_losses(np.array([[1e39], [1e40], [np.nan], [np.inf], [1.0]]), ["sum"])
    assert loss.lost == 1 / 3
    assert loss.example == (1e39, 1e40)
