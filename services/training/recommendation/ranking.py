"""How high recommenders rank what shoppers touched next: the whole catalogue, no sampled negatives.

A case is a history and the items touched after it. Everything in the history is left out of the ranking, the rest
competes. Of equal scores the target's is taken for the lowest, so that a model which says nothing of an item gains
nothing by it.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from services.training.recommendation.histories import Histories, Places
from services.training.recommendation.recommender import Component, Neighbours

_SCORES_AT_ONCE = 2**23

Scores = npt.NDArray[np.float32]
Ranks = npt.NDArray[np.int64]


class Cases(NamedTuple):
    """Shape (cases,) each. begins, ends: of the history, places in the Histories' arrays. targets: item positions.

    segments: of the shoppers. A shopper's targets in one case are several cases of the same history.
    """

    begins: Places
    ends: Places
    targets: npt.NDArray[np.int64]
    segments: npt.NDArray[np.int64]

    def part(self, at: slice | npt.NDArray[np.int64]) -> "Cases":
        """Return some of the cases."""
        return Cases(self.begins[at], self.ends[at], self.targets[at], self.segments[at])


def touches_since(histories: Histories, since_us: int, *, cases_max: int, seed: int) -> Cases:
    """Return first touches of items from a moment on, each after all that its shopper touched before; drawn at random.

    since_us: microseconds since 1970. Later touches of the same item are no cases, since it is no longer shown. A touch
    that counts less than the median one is taken that much less often: those who are distrusted choose no model.
    """
    keys = histories.users * histories.item_count + histories.items
    is_first = np.zeros(len(keys), dtype=np.bool_)
    is_first[np.unique(keys, return_index=True)[1]] = True
    rng = np.random.default_rng(seed)
    is_taken = rng.random(len(keys)) * np.median(histories.weights) < histories.weights
    found = np.flatnonzero(is_first & is_taken & (histories.times >= since_us))
    if len(found) > cases_max:
        found = np.sort(rng.choice(found, cases_max, replace=False))
    return cases_at(histories, found)


def cases_at(histories: Histories, places: Places, *, skip: int = 0) -> Cases:
    """Return touches as cases, after all before them but for the `skip` right before."""
    users = histories.users[places]
    return Cases(
        histories.offsets[users],
        places - skip,
        histories.items[places].astype(np.int64),
        histories.segments[users].astype(np.int64),
    )


def case_blocks(cases: Cases, item_count: int) -> Iterator[slice]:
    """Yield so many cases at a time that their scores fit into memory."""
    step = max(_SCORES_AT_ONCE // max(item_count, 1), 1)
    for begin in range(0, len(cases.targets), step):
        yield slice(begin, min(begin + step, len(cases.targets)))


def neighbour_matrix(neighbours: Neighbours) -> sp.csr_matrix:
    """Return the table as a sparse matrix, shape (items, items)."""
    items, strengths = neighbours
    rows, at = np.nonzero(strengths)
    return sp.csr_matrix((strengths[rows, at], (rows, items[rows, at])), shape=(len(items), len(items)))


def history_matrix(component: Component, histories: Histories, cases: Cases) -> sp.csr_matrix:
    """Return what each item of each case's history counts to a component, float32 (cases, items)."""
    lengths = np.minimum(cases.ends - cases.begins, component.length)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    back = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    places = np.repeat(cases.ends, lengths) - 1 - back
    weights = histories.weights[places] * component.decay ** back.astype(np.float64)
    totals = np.bincount(rows, weights=weights, minlength=len(lengths))
    shares = weights / np.where(totals > 0, totals, 1.0)[rows] ** component.norm
    shape = (len(lengths), histories.item_count)
    return sp.csr_matrix((shares.astype(np.float32), (rows, histories.items[places])), shape=shape)


def hide_touched(scores: Scores, histories: Histories, cases: Cases) -> None:
    """Set the scores of what stands in the cases' histories to -inf."""
    lengths = cases.ends - cases.begins
    rows = np.repeat(np.arange(len(lengths)), lengths)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + np.repeat(cases.begins, lengths)
    scores[rows, histories.items[places]] = -np.inf


def ranks_in(scores: Scores, targets: npt.NDArray[np.int64]) -> Ranks:
    """Return the rank of each case's target among its scores, from 1; last of those that score alike."""
    own = scores[np.arange(len(targets)), targets]
    return np.asarray((scores >= own[:, np.newaxis]).sum(axis=1), dtype=np.int64)
