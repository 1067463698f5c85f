"""Matrix factorisation for implicit feedback by alternating least squares, folded into neighbours.

Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (ICDM 2008). A new history h gets the
factors (Y'Y + l2)^-1 Y' h, a linear map, so item i of it adds S[i, j] = y_i (Y'Y + l2)^-1 y_j to the score of item j.
A touch of less than weight 1 is preferred by as much only: that of a distrusted user is next to none.
"""

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from services.training.recommendation.histories import Histories, touched
from services.training.recommendation.pairs import row_blocks
from services.training.recommendation.plan import Factors
from services.training.recommendation.pruning import pruned
from services.training.recommendation.recommender import Neighbours

SWEEPS = 6

_ROWS_AT_ONCE = 4_096

Reals = npt.NDArray[np.float64]


def factors(histories: Histories, given: Factors, *, width: int, seed: int = 0) -> Neighbours:
    """Return neighbours through factors."""
    matrix = touched(histories)
    transposed = matrix.T.tocsr()
    of_items = np.random.default_rng(seed).normal(scale=0.1, size=(histories.item_count, given.size))
    for _ in range(SWEEPS):
        of_users = _solved(matrix, of_items, given)
        of_items = _solved(transposed, of_users, given)
    folded = np.linalg.solve(of_items.T @ of_items + given.l2 * np.eye(given.size), of_items.T)
    blocks = ((rows, of_items[rows] @ folded) for rows in row_blocks(histories.item_count))
    return pruned(blocks, histories.item_count, width)


def _solved(matrix: sp.csr_matrix, others: Reals, given: Factors) -> Reals:
    """Return the factors of the matrix's rows, given those of its columns."""
    gram = others.T @ others + given.l2 * np.eye(given.size)
    found = np.zeros((matrix.shape[0], given.size))
    for begin in range(0, len(found), _ROWS_AT_ONCE):
        preferred = matrix[begin : begin + _ROWS_AT_ONCE].minimum(1.0)
        extra = given.confidence * matrix[begin : begin + _ROWS_AT_ONCE]
        # A row's own Gram matrix, a line of it at a time for all rows: no loop over rows.
        lines = [extra @ (others * others[:, [factor]]) for factor in range(given.size)]
        targets = extra.multiply(preferred).tocsr() @ others + preferred @ others
        found[begin : begin + _ROWS_AT_ONCE] = np.linalg.solve(
            gram + np.stack(lines, axis=1), targets[:, :, np.newaxis]
        )[:, :, 0]
    return found
