"""What lists are worth: whether they hold what was touched, and what of the catalogue they show."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.training.recommendation.histories import Histories, counted, touched

Lists = npt.NDArray[np.int64]


class Accuracy(NamedTuple):
    """Means over shoppers. hit_rate: anything of a list was touched. recall: share of what was touched.

    ndcg: with an ideal that covers all that was touched, up to the list's length. mrr: 1 / rank of the first.
    """

    hit_rate: float
    ndcg: float
    recall: float
    mrr: float


class Variety(NamedTuple):
    """coverage: share of the items that were shown to anybody. novelty: mean self-information of what was shown, bits.

    diversity: 1 - mean cosine, in who touched them, of two items of a list.
    """

    coverage: float
    novelty: float
    diversity: float


def accuracy(lists: Lists, relevant: list[npt.NDArray[np.int64]]) -> Accuracy:
    """Return the means over lists, shape (shoppers, k), of which `relevant` holds what each shopper touched later."""
    k = lists.shape[1]
    discounts = 1 / np.log2(np.arange(2, k + 2))
    hits = np.array([np.isin(shown, wanted) for shown, wanted in zip(lists, relevant, strict=True)])
    wanted = np.array([len(items) for items in relevant])
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])[np.minimum(wanted, k)]
    first = np.where(hits.any(axis=1), 1 / (1 + hits.argmax(axis=1)), 0.0)
    return Accuracy(
        float(hits.any(axis=1).mean()),
        float((hits @ discounts / ideal).mean()),
        float((hits.sum(axis=1) / wanted).mean()),
        float(first.mean()),
    )


def accuracy_of_ranks(ranks: npt.NDArray[np.int64], k: int) -> Accuracy:
    """Return the same for one touched item a list, from its ranks; recall equals the hit rate."""
    hit = ranks <= k
    rate = float(hit.mean())
    return Accuracy(
        rate, float(np.where(hit, 1 / np.log2(ranks + 1), 0).mean()), rate, float(np.where(hit, 1 / ranks, 0).mean())
    )


def variety(lists: Lists, histories: Histories) -> Variety:
    """Return it for lists, shape (shoppers, k), over what was touched in the histories."""
    counts = counted(histories)
    share = np.maximum(counts, 1.0) / max(counts.sum(), 1.0)
    matrix = touched(histories).tocsc()
    norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=0)).ravel())
    alike = (matrix.T @ matrix).tocsr()
    first, second = np.triu_indices(lists.shape[1], 1)
    left, right = lists[:, first].ravel(), lists[:, second].ravel()
    together = np.asarray(alike[left, right]).ravel()
    cosine = together / np.maximum(norms[left] * norms[right], 1e-12)
    return Variety(
        len(np.unique(lists)) / histories.item_count, float(-np.log2(share[lists]).mean()), float(1 - cosine.mean())
    )
