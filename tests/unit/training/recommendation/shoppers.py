"""Shoppers whose next touch can be foretold: each walks around a circle of items, and strays now and then."""

import numpy as np

from services.training.recommendation.fitting import Vocabulary
from services.training.recommendation.histories import Histories
from tests.sequences import histories_of

DAY_US = 86_400 * 10**6


def walkers(*, users: int = 120, items: int = 40, touches: int = 12, seed: int = 0) -> Histories:
    """Return histories over ten days; most touches are of the item behind the one before."""
    rng = np.random.default_rng(seed)
    steps = np.where(rng.random((users, touches)) < 0.8, 1, rng.integers(2, items, (users, touches)))
    sequences = list(np.cumsum(steps, axis=1) % items)
    histories = histories_of(sequences, items)
    times = np.sort(rng.integers(0, 10 * DAY_US, (users, touches)), axis=1).ravel()
    return Histories(histories.offsets, histories.items, histories.weights, times, items, histories.segments)


def vocabulary(items: int, traits: tuple[tuple[str, ...], ...] = ()) -> Vocabulary:
    return Vocabulary(tuple(f"item-{at}" for at in range(items)), traits, (), None, {"view": 1.0})
