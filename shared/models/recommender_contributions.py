"""What each item of a history adds to the scores of given items, summed from the tables of the graph that scored."""

import numpy as np
import numpy.typing as npt

from shared.features.kernel import kernel

_SLOTS_PER_TARGET = 16


@kernel
def _slots_of(targets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return a hash table of positions in `targets`, -1 where empty; its length is a power of two."""
    size = 16
    while size < _SLOTS_PER_TARGET * len(targets):
        size *= 2
    slots = np.full(size, -1, dtype=np.int64)
    for at in range(len(targets)):
        slot = targets[at] & (size - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (size - 1)
        slots[slot] = at
    return slots


@kernel
def add_contributions(
    neighbours: npt.NDArray[np.int32],
    strengths: npt.NDArray[np.float32],
    history: npt.NDArray[np.int64],
    shares: npt.NDArray[np.float64],
    targets: npt.NDArray[np.int64],
    added: npt.NDArray[np.float64],
) -> None:
    """Add to `added`, shape (targets, history), what one component gives; a neighbour named twice counts twice.

    shares: of each item of the history, shape (up to history,). targets: each once.
    """
    slots = _slots_of(targets)
    last = len(slots) - 1
    for place in range(len(shares)):
        row = history[place]
        for column in range(neighbours.shape[1]):
            item = neighbours[row, column]
            slot = item & last
            while slots[slot] >= 0:
                if targets[slots[slot]] == item:
                    added[slots[slot], place] += shares[place] * strengths[row, column]
                    break
                slot = (slot + 1) & last
