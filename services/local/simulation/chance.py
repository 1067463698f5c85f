"""Where the simulator's chance comes from: independent sources, so that switching one thing leaves every other."""

from enum import IntEnum

import numpy as np

from services.local.simulation.world import Integers

_DAYS_BEFORE_START_MAX = 28
"""The world starts in its steady state, so days before its first have draws too, and a seed needs a whole number."""


class Stream(IntEnum):
    """What is drawn."""

    WORLD = 0
    PAYMENTS = 1
    MERCHANTS_COMPROMISED = 2
    CARDS_COMPROMISED = 3
    BURSTS = 4
    NAMES = 5
    DISGUISES = 6


class Chance:
    """All draws of one seed."""

    def __init__(self, seed: int) -> None:
        """Draw nothing yet."""
        self._seed = seed

    def generator(self, stream: Stream, day: int, purpose: int = 0) -> np.random.Generator:
        """Return the source of a day's draws, from its beginning; day: -28 at least."""
        return np.random.default_rng([self._seed, stream, day + _DAYS_BEFORE_START_MAX, purpose])

    def hit(self, stream: Stream, day: int, population: int, rate: float, purpose: int = 1) -> Integers:
        """Return which of `population` are hit on `day`: a share `rate` of them in the long run, none of them twice."""
        # Whole numbers whose long-run mean is the rate, so that a small world has its share too.
        count = int(np.floor((day + 1) * population * rate) - np.floor(day * population * rate))
        return self.generator(stream, day, purpose).choice(population, size=min(count, population), replace=False)
