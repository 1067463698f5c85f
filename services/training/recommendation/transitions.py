"""Decayed sequential co-occurrence: what was touched soon after, and, counting less, soon before."""

import numpy as np
import scipy.sparse as sp

from services.training.recommendation.histories import Histories, counted
from services.training.recommendation.pairs import Pairing, PairSums
from services.training.recommendation.plan import Transitions
from services.training.recommendation.pruning import pruned
from services.training.recommendation.recommender import Neighbours

REACH = 60
"""Touches further apart are no pair."""


def transitions(histories: Histories, given: Transitions, *, width: int) -> Neighbours:
    """Return neighbours by the sum of decay ** (gap - 1) over pairs of touches, over the popularity of both."""
    steps = np.arange(REACH + 1)
    forward = np.where(steps > 0, given.decay ** (steps - 1.0), 0.0)
    weights = histories.weights.astype(np.float64)
    sums = PairSums(histories, Pairing(weights, weights, forward, given.backward * forward))
    counts = counted(histories) + 1.0
    columns = sp.diags_array(counts**-given.column_power)
    blocks = (
        (rows, (sp.diags_array(counts[rows] ** -given.row_power) @ table @ columns).tocsr())
        for rows, table in sums.blocks()
    )
    return pruned(blocks, histories.item_count, width)
