"""Which of the latest days' interactions were counted."""

import numpy as np
import numpy.typing as npt

_LOOSE_DAYS = 2


class OncePerDay:
    """Hashes that came up, by day; days before the last two take 8 bytes a hash."""

    def __init__(self, *, days_kept: int) -> None:
        self._days_kept = days_kept
        self._loose: dict[int, set[int]] = {}
        self._packed: dict[int, npt.NDArray[np.int64]] = {}

    def is_new(self, day: int, value: int) -> bool:
        """Tell whether `value`, of 64 bits, comes up for the first time that day; the next time it does not."""
        packed = self._packed.get(day)
        if packed is not None and _contains(packed, value):
            return False
        loose = self._loose.setdefault(day, set())
        if value in loose:
            return False
        loose.add(value)
        return True

    def settle(self, today: int) -> None:
        """Forget the days before those kept, and pack those that are complete but for what comes late."""
        for day in [day for day in {*self._loose, *self._packed} if day < today - self._days_kept]:
            self._loose.pop(day, None)
            self._packed.pop(day, None)
        for day in [day for day in self._loose if day <= today - _LOOSE_DAYS]:
            late = np.fromiter(self._loose.pop(day), dtype=np.int64)
            self._packed[day] = np.union1d(self._packed.get(day, np.zeros(0, dtype=np.int64)), late)


def _contains(ordered: npt.NDArray[np.int64], value: int) -> bool:
    at = int(np.searchsorted(ordered, value))
    return at < len(ordered) and int(ordered[at]) == value
