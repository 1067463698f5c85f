"""What everyone touched, in order: all that recommenders are fitted on."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

Places = npt.NDArray[np.int64]
"""Positions of interactions in a Histories' arrays."""


@dataclass(frozen=True)
class Histories:
    """Interactions by user, each user's oldest first.

    offsets: int64 (users + 1,), where each user's begin. items: int32 (interactions,), positions below item_count.
    weights: float32 (interactions,), what each counts: of its kind, times the trust in its user.
    times: int64 (interactions,), microseconds since 1970. segments: int32 (users,), 0: everyone else.
    """

    offsets: npt.NDArray[np.int64]
    items: npt.NDArray[np.int32]
    weights: npt.NDArray[np.float32]
    times: npt.NDArray[np.int64]
    item_count: int
    segments: npt.NDArray[np.int32]

    @property
    def user_count(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Interactions of each user."""
        return np.diff(self.offsets)

    @property
    def users(self) -> npt.NDArray[np.int64]:
        """Whose each interaction is."""
        return np.repeat(np.arange(self.user_count), self.lengths)

    def only(self, keep: npt.NDArray[np.bool_]) -> "Histories":
        """Return the interactions to keep, shape (interactions,), of the same users and items."""
        kept = np.bincount(self.users[keep], minlength=self.user_count)
        offsets = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
        return Histories(
            offsets, self.items[keep], self.weights[keep], self.times[keep], self.item_count, self.segments
        )

    def before(self, time_us: int) -> "Histories":
        """Return the interactions before a moment, microseconds since 1970."""
        return self.only(self.times < time_us)


def touched(histories: Histories) -> sp.csr_matrix:
    """Return what each user's touches of each item count: of several the largest; shape (users, items), float64."""
    keys = histories.users * histories.item_count + histories.items
    order = np.lexsort((-histories.weights, keys))
    unique, first = np.unique(keys[order], return_index=True)
    users, items = np.divmod(unique, histories.item_count)
    shape = (histories.user_count, histories.item_count)
    return sp.csr_matrix((histories.weights[order][first].astype(np.float64), (users, items)), shape=shape)


def counted(histories: Histories) -> npt.NDArray[np.float64]:
    """Return the sum of the weights of each item's interactions, shape (items,)."""
    counts = np.zeros(histories.item_count)
    np.add.at(counts, histories.items, histories.weights)
    return counts


def most_touched(histories: Histories, items_max: int) -> npt.NDArray[np.int64]:
    """Return the items, ascending, that have interactions; of more than `items_max` those that count most."""
    counts = counted(histories)
    order = np.argsort(-counts, kind="stable")[:items_max]
    return np.sort(order[counts[order] > 0])
