"""What everyone touches lately, and what those of a segment do."""

import numpy as np
import numpy.typing as npt

from services.training.recommendation.histories import Histories

SMOOTHING = 200.0
"""Interactions of everyone that are mixed into a segment's own."""


def popularity(histories: Histories, segment_count: int, *, half_life_seconds: float | None) -> npt.NDArray[np.float32]:
    """Return how popular each item is in each segment, the most popular of each 1; shape (segments, items).

    Interactions count by weight, halved with each half-life before the last of all; None: all alike. segment_count:
    with segment 0, which is everyone. A small segment is mostly like everyone.
    """
    weights = histories.weights.astype(np.float64)
    if half_life_seconds is not None and len(weights):
        ages_seconds = (histories.times.max() - histories.times) / 1e6
        weights = weights * np.exp2(-ages_seconds / half_life_seconds)
    segment_of = histories.segments[histories.users]
    counts = np.zeros((segment_count, histories.item_count))
    np.add.at(counts, (segment_of, histories.items), weights)
    everyone = counts.sum(axis=0)
    mixed = counts + SMOOTHING * everyone / max(everyone.sum(), 1e-12)
    mixed[0] = everyone
    return np.asarray(mixed / np.maximum(mixed.max(axis=1, keepdims=True), 1e-12), dtype=np.float32)
