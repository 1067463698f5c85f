"""Neighbours by what items are: for those that too few have touched to know them by their company."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from services.training.recommendation.histories import Histories
from services.training.recommendation.pairs import row_blocks
from services.training.recommendation.plan import Traits
from services.training.recommendation.pruning import pruned
from services.training.recommendation.recommender import Neighbours

Booleans = npt.NDArray[np.bool_]


def alike_in_traits(histories: Histories, traits: Sequence[Sequence[str]], given: Traits, *, width: int) -> Neighbours:
    """Return neighbours by the cosine of the items' traits, rare ones counting more (inverse document frequency).

    traits: of each item.
    """
    matrix = _weighted(traits)
    touches = np.bincount(histories.items, minlength=histories.item_count)
    is_new = touches <= given.interactions_max
    blocks = (
        (rows, _with_new(matrix[rows] @ matrix.T, is_new[rows], is_new)) for rows in row_blocks(histories.item_count)
    )
    return pruned(blocks, histories.item_count, width)


def _with_new(likeness: sp.csr_matrix, is_new_row: Booleans, is_new: Booleans) -> sp.csr_matrix:
    entries = likeness.tocoo()
    kept = is_new_row[entries.row] | is_new[entries.col]
    return sp.csr_matrix((entries.data[kept], (entries.row[kept], entries.col[kept])), shape=likeness.shape)


def _weighted(traits: Sequence[Sequence[str]]) -> sp.csr_matrix:
    """Return the traits of each item, their squares summing to 1; shape (items, traits)."""
    names = {name: at for at, name in enumerate(sorted({name for own in traits for name in own}))}
    rows = [item for item, own in enumerate(traits) for _ in own]
    columns = [names[name] for own in traits for name in own]
    matrix = sp.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(traits), max(len(names), 1)))
    items_with = np.bincount(columns, minlength=matrix.shape[1])
    matrix = matrix @ sp.diags_array(np.log1p(len(traits) / np.maximum(items_with, 1)))
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return (sp.diags_array(1 / np.maximum(norms, 1e-12)) @ matrix).tocsr()
