"""How long a recommender takes to train, by the number of interactions: part of `make bench-reco-speed`."""

import time

import numpy as np
from rich.progress import track

from services.training.recommendation.blending import learned
from services.training.recommendation.fitting import Vocabulary, fit
from services.training.recommendation.histories import Histories
from tests.benchmarks.report import Figure

INTERACTIONS = (10_000, 100_000, 1_000_000)
ITEMS = 5_000
LENGTH = 20
"""Interactions of a shopper."""
KINDS_OF_TASTE = 50
SEARCH_SECONDS_MAX = 60.0


def training_figures() -> list[Figure]:
    """Return how long it takes to learn a plan and to fit it."""
    figures = []
    for interactions in track(INTERACTIONS, "training by number of interactions"):
        histories = simulated(interactions)
        vocabulary = Vocabulary(tuple(map(str, range(ITEMS))), (), (), None, {"view": 1.0})
        started = time.perf_counter()
        plan = learned(histories, vocabulary, seconds_max=SEARCH_SECONDS_MAX, monotonic_seconds=time.monotonic)
        learnt = time.perf_counter()
        fit(histories, plan, vocabulary)
        fitted = time.perf_counter()
        what = f"{interactions:,} interactions, {ITEMS:,} items"
        figures += [
            Figure(f"learning_{interactions}_s", f"{what}: learning the blend, s", learnt - started),
            Figure(f"fitting_{interactions}_s", f"{what}: fitting it, s", fitted - learnt),
        ]
    return figures


def simulated(interactions: int) -> Histories:
    """Return histories of shoppers who mostly stay with one kind of item."""
    random = np.random.default_rng(0)
    users = interactions // LENGTH
    tastes = random.integers(KINDS_OF_TASTE, size=users).repeat(LENGTH)
    of_taste = tastes + KINDS_OF_TASTE * random.integers(ITEMS // KINDS_OF_TASTE, size=interactions)
    items = np.where(random.random(interactions) < 0.8, of_taste, random.integers(ITEMS, size=interactions))
    times = np.sort(random.integers(30 * 86_400_000_000, size=(users, LENGTH)), axis=1).ravel()
    return Histories(
        offsets=np.arange(users + 1) * LENGTH,
        items=items.astype(np.int32),
        weights=np.ones(interactions, dtype=np.float32),
        times=times,
        item_count=ITEMS,
        segments=np.zeros(users, dtype=np.int32),
    )
