"""Cases of the leave-last-out protocol, and a recommender's scores, ranks and lists for many cases at once."""

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from services.training.recommendation.histories import Histories
from services.training.recommendation.ranking import (
    Cases,
    Ranks,
    Scores,
    case_blocks,
    cases_at,
    hide_touched,
    history_matrix,
    neighbour_matrix,
    ranks_in,
)
from services.training.recommendation.recommender import Recommender


def last_touches(histories: Histories, *, skip: int = 0) -> Cases:
    """Return each user's last touch, after all before it but for the `skip` touches right before."""
    has_enough = histories.lengths >= 2 + skip
    return cases_at(histories, histories.offsets[1:][has_enough] - 1, skip=skip)


def scored(
    recommender: Recommender, histories: Histories, cases: Cases, tables: dict[str, sp.csr_matrix] | None = None
) -> Scores:
    """Return every item's score in each case, shape (cases, items), -inf for those of its history.

    tables: `neighbour_matrix` of each component by name, where they are at hand.
    """
    scores = np.float32(recommender.popularity_weight) * recommender.popularity[cases.segments]
    for component in recommender.components:
        table = neighbour_matrix(component.neighbours) if tables is None else tables[component.name]
        own = history_matrix(component, histories, cases) @ table
        scores += np.float32(component.weight) * own.toarray()
    hide_touched(scores, histories, cases)
    return np.asarray(scores, dtype=np.float32)


def ranks(recommender: Recommender, histories: Histories, cases: Cases) -> Ranks:
    """Return the rank of each case's target among all items outside its history, from 1; shape (cases,)."""
    tables = {component.name: neighbour_matrix(component.neighbours) for component in recommender.components}
    found = [
        ranks_in(scored(recommender, histories, part, tables), part.targets)
        for part in (cases.part(at) for at in case_blocks(cases, histories.item_count))
    ]
    return np.concatenate([np.empty(0, dtype=np.int64), *found])


def top(recommender: Recommender, histories: Histories, cases: Cases, k: int) -> npt.NDArray[np.int64]:
    """Return the k best items of each case, best first, shape (cases, k)."""
    tables = {component.name: neighbour_matrix(component.neighbours) for component in recommender.components}
    lists = [np.empty((0, k), dtype=np.int64)]
    for at in case_blocks(cases, histories.item_count):
        scores = scored(recommender, histories, cases.part(at), tables)
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
        lists.append(np.take_along_axis(best, order, axis=1))
    return np.concatenate(lists)
