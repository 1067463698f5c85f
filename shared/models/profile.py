"""How a model's payments were distributed day by day when it was trained: by this, drift knows a usual day's noise."""

import zlib
from datetime import date

import numpy as np
import numpy.typing as npt
from msgspec import Struct

Integers = npt.NDArray[np.int64]

_BYTES = 4


class Segment(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Payments whose category `feature` has this code."""

    feature: str
    code: int


class Profile(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Counts of payments by day, segment, feature and bin; and some of the payments.

    Features are the manifest's in their order, bins those of its references. Of the score there is nothing: in training
    it is known of a few days only, and from other models.

    Arrays are packed with their first axis innermost, little-endian, all numbers' first bytes before all their second
    ones, by zlib: a day is much like the day before, and a high byte like its neighbours.

    dates: ascending. segments: counted by themselves; of counts, place 0 is everything and place 1 + i is segments[i].
    bins: of the feature that has most; the others leave their last ones 0.
    counts: uint32 of shape (dates, 1 + segments, features, bins).
    low, high: the smallest and largest value of each feature.
    rows: float32 of shape (n, features), drawn evenly from all days.
    """

    dates: list[date]
    segments: list[Segment]
    bins: int
    counts: bytes
    low: list[float]
    high: list[float]
    rows: bytes

    def day_counts(self) -> Integers:
        """Return the counts, shape (dates, 1 + segments, features, bins)."""
        shape = (1 + len(self.segments), len(self.low), self.bins, len(self.dates))
        return np.moveaxis(_unpacked(self.counts, "<u4").reshape(shape), -1, 0).astype(np.int64)

    def sample(self) -> npt.NDArray[np.float32]:
        """Return the payments, shape (n, features)."""
        return np.moveaxis(_unpacked(self.rows, "<f4").reshape(len(self.low), -1), -1, 0).astype(np.float32)


def profile(
    dates: list[date],
    segments: list[Segment],
    counts: Integers,
    low: list[float],
    high: list[float],
    rows: npt.NDArray[np.float32],
) -> Profile:
    """Return a profile of these arrays, as Profile describes them."""
    return Profile(
        dates=dates,
        segments=segments,
        bins=counts.shape[-1],
        counts=_packed(counts.astype("<u4")),
        low=low,
        high=high,
        rows=_packed(rows.astype("<f4")),
    )


def _packed(values: npt.NDArray[np.generic]) -> bytes:
    """Return `values`, of four bytes each, as Profile tells."""
    innermost = np.ascontiguousarray(np.moveaxis(values, 0, -1))
    return zlib.compress(innermost.view(np.uint8).reshape(-1, _BYTES).T.tobytes(), level=9)


def _unpacked(packed: bytes, kind: str) -> npt.NDArray[np.generic]:
    planes = np.frombuffer(zlib.decompress(packed), dtype=np.uint8).reshape(_BYTES, -1)
    return np.ascontiguousarray(planes.T).view(kind).reshape(-1)
