"""An even sample of rows that come one after the other."""

from typing import Self

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]


class Sample:
    """At most `size` of the rows added, each as likely to be among them as any other; seeded.

    Every row draws a number and the smallest stay, so that samples can be poured together.
    """

    def __init__(self, size: int, features: int, *, seed: int) -> None:
        """Start empty."""
        self.seen = 0
        self.rows: Rows = np.empty((0, features), dtype=np.float32)
        self._draws = np.empty(0)
        self._size = size
        self._random = np.random.default_rng(seed)

    def add(self, rows: Rows) -> None:
        """Take in rows, shape (n, features)."""
        self._keep(rows, self._random.random(len(rows)), len(rows))

    def pour(self, other: Self) -> None:
        """Take in what `other` has seen; it has to be of the same size."""
        self._keep(other.rows, other._draws, other.seen)

    def _keep(self, rows: Rows, draws: npt.NDArray[np.float64], seen: int) -> None:
        self.seen += seen
        all_draws = np.concatenate([self._draws, draws])
        kept = np.argsort(all_draws)[: self._size]
        self.rows = np.concatenate([self.rows, rows])[kept]
        self._draws = all_draws[kept]
