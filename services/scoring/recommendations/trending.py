"""What shoppers turn to now more than they used to."""

from datetime import timedelta

import numpy as np

from services.scoring.recommendations.popularity import Counts

TRENDING_HALF_LIFE = timedelta(hours=1)
SHRINKAGE = 20.0
"""Interactions as usual that every item is credited with: so few by themselves make no trend."""
LIFT_MIN = 1.5
"""An item that is asked for less than this many times its usual is no trend."""


def lifts(recent: Counts, usual: Counts) -> Counts:
    """Return how many times its usual an item is asked for, where that is a trend; else 0. Shape (items,).

    recent, usual: fading counts of a short and a long half-life. Usual is the item's share of everything over the long
    one, so that the time of day, a busy hour or a young log make no trend. An item's counts are taken as Poisson, its
    lift as Gamma(SHRINKAGE, SHRINKAGE); returned is the mean of what that lift is, given the counts (DuMouchel, 1999).
    """
    total = usual.sum()
    if total <= 0:
        return np.zeros_like(recent)
    expected = recent.sum() * usual / total
    lift = (recent + SHRINKAGE) / (expected + SHRINKAGE)
    return np.where(lift >= LIFT_MIN, lift, 0.0)
