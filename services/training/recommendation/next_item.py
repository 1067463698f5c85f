"""Ridge regression of the next item on the decayed history before it, in closed form.

With h_t the history before the t-th touch, h_t = sum over p < t: decay ** (t - 1 - p) * e(item p), the table B
minimises sum over t: |h_t B - e(item t)|^2 + l2 |B|^2, its diagonal held at 0: who touched an item is not shown it
again. Both Gram matrices are sums over pairs of touches, since the decays of a geometric series sum to one number for
each touch; no row h_t is ever made.

After Choi, Kim, Lee, Shim and Lee, "Session-aware Linear Item-Item Models for Session-based Recommendation" (WWW 2021);
the zero diagonal after Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (WWW 2019).
"""

import numpy as np
import numpy.typing as npt

from services.training.recommendation.histories import Histories, counted, most_touched
from services.training.recommendation.pairs import Pairing, PairSums
from services.training.recommendation.plan import NextItem
from services.training.recommendation.pruning import pruned
from services.training.recommendation.recommender import Neighbours
from services.training.recommendation.ridge import inverted, zero_diagonal
from shared.features.kernel import kernel

REACH_MAX = 200
"""Touches further apart are no pair."""
NEGLIGIBLE = 1e-3
"""Nor are those so far apart that the decay makes less of them."""

Reals = npt.NDArray[np.float64]


def next_item(histories: Histories, given: NextItem, *, width: int) -> Neighbours:
    """Return neighbours by regression."""
    kept = most_touched(histories, given.items_max)
    lengths = np.maximum(histories.lengths, 1) ** given.user_power
    weights = histories.weights.astype(np.float64)
    shared = weights / np.repeat(lengths, histories.lengths)
    steps = np.arange(min(int(np.log(NEGLIGIBLE) / np.log(given.decay)), REACH_MAX) + 1)
    decays = given.decay ** steps.astype(np.float64)
    later = _weights_of_later(histories.offsets, weights, given.decay**2)
    gram = PairSums(histories, Pairing(shared, weights * later, decays, decays)).table(kept, kept)
    forward = np.where(steps > given.skip, given.decay ** (steps - 1.0), 0.0)
    targets = PairSums(histories, Pairing(shared, weights, forward, np.zeros_like(forward))).table(kept, kept)
    targets /= np.maximum(counted(histories)[kept], 1e-9) ** given.column_power
    inverse = inverted(gram, l2=given.l2)
    return pruned([(kept, zero_diagonal(inverse, inverse @ targets))], histories.item_count, width, kept)


@kernel
def _weights_of_later(offsets: npt.NDArray[np.int64], weights: Reals, decay: float) -> Reals:
    """Return for each touch the sum over its user's later ones: weight * decay ** (gap - 1)."""
    later = np.zeros_like(weights)
    for user in range(len(offsets) - 1):
        for touch in range(offsets[user + 1] - 2, offsets[user] - 1, -1):
            later[touch] = weights[touch + 1] + decay * later[touch + 1]
    return later
