"""Histories of items alone, for tests and benchmarks."""

import numpy as np
import numpy.typing as npt

from services.training.recommendation.histories import Histories


def histories_of(sequences: list[npt.NDArray[np.int64]], item_count: int) -> Histories:
    """Return histories of items alone: all count 1, in one segment; an interaction's time is its place, from 0."""
    lengths = [len(sequence) for sequence in sequences]
    places = [np.arange(length) for length in lengths]
    return Histories(
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        items=np.concatenate([np.empty(0, dtype=np.int64), *sequences]).astype(np.int32),
        weights=np.ones(sum(lengths), dtype=np.float32),
        times=np.concatenate([np.empty(0, dtype=np.int64), *places]).astype(np.int64),
        item_count=item_count,
        segments=np.zeros(len(sequences), dtype=np.int32),
    )
