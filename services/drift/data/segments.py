"""Parts of the payments that are watched by themselves, as country=DE."""

import numpy as np
import numpy.typing as npt

from services.drift.champion import Champion
from shared.features.definitions import Field
from shared.features.state import category_value

Floats = npt.NDArray[np.floating]
Integers = npt.NDArray[np.int64]


class Segments:
    """The segments of a champion's profile; none where it has no profile.

    names: as country=DE, in the profile's order; the segment at place i of it is number 1 + i, and 0 is none.
    features: what the segments are of, each once.
    """

    def __init__(self, champion: Champion) -> None:
        """Name the segments and find their features among the model's."""
        segments = champion.profile.segments if champion.profile else []
        self.names = tuple(f"{segment.feature}={category_name(segment.feature, segment.code)}" for segment in segments)
        self.features = tuple(dict.fromkeys(segment.feature for segment in segments))
        self._columns = [champion.feature_names.index(feature) for feature in self.features]
        self._codes: list[Integers] = []
        self._numbers: list[Integers] = []
        for feature in self.features:
            own = sorted((segment.code, 1 + at) for at, segment in enumerate(segments) if segment.feature == feature)
            self._codes.append(np.array([code for code, _ in own], dtype=np.int64))
            self._numbers.append(np.array([number for _, number in own], dtype=np.int64))

    def of(self, rows: Floats) -> Integers:
        """Return which segment of each segment feature a payment is in; 0 where it is in none.

        rows: shape (n, features), as the model reads them. Returns shape (n, segment features).
        """
        places = np.zeros((len(rows), len(self.features)), dtype=np.int64)
        for at, (column, codes, numbers) in enumerate(zip(self._columns, self._codes, self._numbers, strict=True)):
            values = rows[:, column]
            found = np.minimum(np.searchsorted(codes, values), len(codes) - 1)
            places[:, at] = np.where(codes[found] == values, numbers[found], 0)
        return places


def category_name(feature: str, code: int) -> str:
    """Return the category as a payment has it; the code, where it is none of ours."""
    try:
        return category_value(Field(feature), code)
    except ValueError:
        return str(code)
