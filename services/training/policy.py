"""Decision thresholds, chosen on held-out scores."""

import numpy as np
import numpy.typing as npt

from shared.models.manifest import Thresholds

DECLINE_PRECISION = 0.9
"""Of the payments at or above the decline threshold, at least this share was fraud."""
DECLINE_NOTHING = 2.0
"""The decline threshold where no score is precise enough: no score reaches it."""


def choose_thresholds(scores: npt.NDArray[np.float32], frauds: npt.NDArray[np.int8]) -> Thresholds:
    """Return the review threshold with the highest F1, and the lowest decline threshold with precision 0.9.

    scores, frauds: shape (n,), with at least one fraud. The decline threshold is never below the review threshold.
    Thresholds lie halfway between two scores, so that rounding never moves a payment across.
    """
    order = np.argsort(scores)[::-1]
    ranked = scores[order].astype(np.float64)
    hits = np.cumsum(frauds[order])
    taken = np.arange(1, len(ranked) + 1)
    # A cut may only fall where the score changes: equal scores share a decision.
    cuts = np.flatnonzero(np.append(ranked[:-1] > ranked[1:], True))
    precision = hits[cuts] / taken[cuts]
    f1 = 2 * hits[cuts] / (taken[cuts] + hits[-1])
    below = np.append(ranked[cuts[:-1] + 1], 0.0)
    levels = (ranked[cuts] + below) / 2
    best = int(np.argmax(f1))
    precise = np.flatnonzero(precision[: best + 1] >= DECLINE_PRECISION)
    decline = float(levels[precise[-1]]) if len(precise) else DECLINE_NOTHING
    return Thresholds(review=float(levels[best]), decline=decline)


def precision_and_recall(
    scores: npt.NDArray[np.float32], frauds: npt.NDArray[np.int8], threshold: float
) -> tuple[float, float]:
    """Return the precision and the recall of taking every score at or above `threshold`; 0 where nothing is taken."""
    taken = scores >= threshold
    hits = float(frauds[taken].sum())
    return hits / max(1.0, float(taken.sum())), hits / max(1.0, float(frauds.sum()))
