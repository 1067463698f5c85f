"""Which features a model lives on: how far average precision falls when one feature's values are shuffled."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.training.evaluation.ranking import average_precision

ROWS_MAX = 20_000
REPEATS = 3

Rows = npt.NDArray[np.float32]
Score = Callable[[Rows], npt.NDArray[np.float32]]
"""From rows, shape (n, features), to probabilities of fraud, shape (n,)."""


class Importance(NamedTuple):
    """How far average precision falls without a feature: mean, smallest and largest over the shuffles."""

    feature: str
    drop: float
    low: float
    high: float


def permutation_importances(
    score: Score, rows: Rows, frauds: npt.NDArray[np.int8], names: Sequence[str], *, seed: int = 0
) -> tuple[Importance, ...]:
    """Return every feature's importance, the largest first, on at most ROWS_MAX of the rows, drawn at random.

    rows: held out, with at least one fraud; scored REPEATS times a feature. Of two features that tell the same, each
    can look unimportant, since the other is still there (Breiman, "Random Forests", 2001; Strobl et al., 2008).
    """
    random = np.random.default_rng(seed)
    drawn = np.sort(random.permutation(len(rows))[:ROWS_MAX])
    known, shuffled = frauds[drawn], rows[drawn]
    whole = average_precision(score(shuffled), known)
    found = []
    for at, name in enumerate(names):
        column = shuffled[:, at].copy()
        drops = []
        for _ in range(REPEATS):
            shuffled[:, at] = random.permutation(column)
            drops.append(whole - average_precision(score(shuffled), known))
        shuffled[:, at] = column
        found.append(Importance(name, float(np.mean(drops)), min(drops), max(drops)))
    return tuple(sorted(found, key=lambda importance: -importance.drop))
