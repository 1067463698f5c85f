"""Nearest neighbours of items: the cosine of who touched them, shrunk where few did."""

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from services.training.recommendation.histories import Histories, touched
from services.training.recommendation.pairs import row_blocks
from services.training.recommendation.plan import NearestNeighbours
from services.training.recommendation.pruning import pruned
from services.training.recommendation.recommender import Neighbours

Reals = npt.NDArray[np.float64]


def nearest_neighbours(histories: Histories, given: NearestNeighbours, *, width: int) -> Neighbours:
    """Return neighbours by shrunk cosine."""
    matrix = touched(histories).tocsc()
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=0)).ravel())
    blocks = ((rows, _shrunk(matrix[:, rows].T @ matrix, norms[rows], norms, given)) for rows in row_blocks(len(norms)))
    return pruned(blocks, histories.item_count, width)


def _shrunk(products: sp.csr_matrix, of_rows: Reals, of_columns: Reals, given: NearestNeighbours) -> sp.csr_matrix:
    entries = products.tocoo()
    norms = of_rows[entries.row] * of_columns[entries.col]
    likeness = entries.data / (norms + given.shrinkage)
    return sp.csr_matrix((likeness, (entries.row, entries.col)), shape=products.shape)
