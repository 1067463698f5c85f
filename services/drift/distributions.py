"""How far the distribution of one quantity has moved from where it was at training."""

import math
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from shared.models.manifest import Reference

SLICE = timedelta(days=1)
FRACTION_MIN = 1e-4
"""An empty bin counts as this share; the index has no value at 0."""


class Divergence(NamedTuple):
    """A window beside its reference.

    psi: population stability index.
    fractions: share of each of the reference's bins.
    whole: whether the window is long and full enough to judge by.
    """

    psi: float
    samples: int
    fractions: list[float]
    whole: bool


class Window:
    """The last days of one quantity as counts in the reference's bins, looked at once a day of event time.

    A day of payments is as unlike a week as Sunday is unlike Monday, so only a window of all `days` is whole.
    """

    def __init__(self, reference: Reference, *, days: int, samples_min: int) -> None:
        self.reference = reference
        self._days = days
        self._samples_min = samples_min
        self._slices: deque[list[int]] = deque(maxlen=days)
        self._counts = [0] * len(reference.fractions)
        self._ends_at: datetime | None = None

    def add(self, at: datetime, value: float) -> Divergence | None:
        """Count `value`, observed at event time `at`; return the window when a day of it was completed."""
        completed = None
        if self._ends_at is None or (not self._slices and at + SLICE < self._ends_at):
            self._ends_at = at + SLICE  # the first day begins with its earliest payment
        elif at >= self._ends_at:
            # One day forward at a time, whatever `at` says: a payment dated far ahead moves the window by a day, and
            # the payments after it let it settle again.
            self._ends_at += SLICE
            completed = self._complete()
        self._counts[self.reference.bin_of(value)] += 1
        return completed

    def _complete(self) -> Divergence:
        self._slices.append(self._counts)
        self._counts = [0] * len(self.reference.fractions)
        totals = [sum(column) for column in zip(*self._slices, strict=True)]
        samples = sum(totals)
        fractions = [count / samples for count in totals]
        return Divergence(
            psi=population_stability_index(self.reference.fractions, fractions),
            samples=samples,
            fractions=fractions,
            whole=len(self._slices) == self._days and samples >= self._samples_min,
        )


def population_stability_index(expected: Sequence[float], observed: Sequence[float]) -> float:
    """Return the sum over bins of (observed - expected) · ln(observed / expected).

    0 for equal shares; by custom, from 0.1 a change is small, from 0.25 it is large (Siddiqi, Credit Risk Scorecards,
    2006). Sampling alone gives about (bins - 1) / samples (Yurdakul, Statistical Properties of PSI, 2018).
    """
    total = 0.0
    for raw_expected, raw_observed in zip(expected, observed, strict=True):
        was, now = max(raw_expected, FRACTION_MIN), max(raw_observed, FRACTION_MIN)
        total += (now - was) * math.log(now / was)
    return total
