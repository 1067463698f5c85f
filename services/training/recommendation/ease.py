"""EASE: each item regressed on all others over whole histories, in closed form.

Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (WWW 2019).
"""

import numpy as np

from services.training.recommendation.histories import Histories, most_touched, touched
from services.training.recommendation.plan import Ease
from services.training.recommendation.pruning import pruned
from services.training.recommendation.recommender import Neighbours
from services.training.recommendation.ridge import inverted


def ease(histories: Histories, given: Ease, *, width: int) -> Neighbours:
    """Return neighbours by regression."""
    kept = most_touched(histories, given.items_max)
    matrix = touched(histories)[:, kept]
    inverse = inverted((matrix.T @ matrix).toarray(), l2=given.l2)
    return pruned([(kept, -inverse / np.diag(inverse))], histories.item_count, width, kept)
