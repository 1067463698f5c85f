"""How a model's payments were distributed day by day: what the drift monitor tells a usual day by."""

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import numpy.typing as npt

from services.training.data.dataset import TrainingSet
from shared.features.definitions import Field
from shared.models.manifest import Reference
from shared.models.profile import Profile, Segment, profile

DAYS_MAX = 60
"""Two paydays, eight weekends; more would make a manifest too large to carry along."""
WARM_UP_DAYS = 30
"""The first days of a history, over which windows as long as this still fill."""
DAYS_KEPT_MIN = 14
"""As many of the latest days are kept even where windows still fill in them: two of each weekday."""
SEGMENT_FEATURES = (Field.COUNTRY.value, Field.CHANNEL.value)
SEGMENT_SHARE_MIN = 0.02
SEGMENTS_MAX = 8
ROWS = 500

_DAY_US = 86_400_000_000
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

Rows = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


def training_profile(data: TrainingSet, references: Mapping[str, Reference]) -> Profile:
    """Return the profile of what a model was trained on."""
    names = data.feature_set.feature_names
    return profile_of(references, names, data.rows, data.times, segment_codes(names, data.rows))


def segment_codes(feature_names: Sequence[str], rows: Rows) -> dict[str, list[int]]:
    """Return which categories of SEGMENT_FEATURES are large enough to be watched by themselves, by feature.

    The SEGMENTS_MAX largest of those with SEGMENT_SHARE_MIN of the payments; one that holds nearly all of them is no
    part of them.
    """
    shares: list[tuple[float, str, int]] = []
    for name in SEGMENT_FEATURES:
        if name in feature_names:
            codes, counts = np.unique(rows[:, feature_names.index(name)], return_counts=True)
            shares += [
                (count / len(rows), name, int(code))
                for code, count in zip(codes.tolist(), counts.tolist(), strict=True)
                if SEGMENT_SHARE_MIN <= count / len(rows) <= 1 - SEGMENT_SHARE_MIN and np.isfinite(code)
            ]
    taken = sorted(shares, reverse=True)[:SEGMENTS_MAX]
    return {
        name: sorted(code for _, of, code in taken if of == name)
        for name in SEGMENT_FEATURES
        if any(of == name for _, of, _ in taken)
    }


def profile_of(
    references: Mapping[str, Reference],
    feature_names: Sequence[str],
    rows: Rows,
    times_us: Integers,
    categories: Mapping[str, Sequence[int]],
) -> Profile:
    """Return the profile of these payments.

    Counted are whole days only, the latest DAYS_MAX; the WARM_UP_DAYS that the payments begin with are left out as far
    as DAYS_KEPT_MIN remain, since a history may begin there.

    references: by feature name. rows: shape (n, features). times_us: shape (n,), event times, ascending. categories:
    codes to watch by themselves, by the feature they are of.
    """
    segments = [Segment(feature=name, code=code) for name, codes in categories.items() for code in codes]
    day_of = times_us // _DAY_US
    days = _whole_days(day_of)
    taken = np.isin(day_of, days)
    numbers = np.searchsorted(days, day_of[taken])
    kept = rows[taken]
    bins = max(len(references[name].fractions) for name in feature_names)
    counts = np.zeros((len(days), 1 + len(segments), len(feature_names), bins), dtype=np.int64)
    groups = [np.zeros(len(kept), dtype=np.int64)]
    groups += [_places(kept[:, feature_names.index(name)], name, segments) for name in categories]
    for quantity, name in enumerate(feature_names):
        cells = references[name].bins_of(kept[:, quantity])
        counts[:, :, quantity] = _counted(numbers, groups, cells, counts.shape)
    low, high = _ranges(rows)
    sampled = kept if len(kept) else rows
    evenly = np.linspace(0, len(sampled) - 1, min(ROWS, len(sampled))).astype(np.intp)
    dates = [date.fromordinal(_EPOCH_ORDINAL + day) for day in days.tolist()]
    return profile(dates, segments, counts, low, high, sampled[evenly])


def _whole_days(day_of: Integers) -> Integers:
    """Return the days to count, ascending: not the first and the last, which may have been cut."""
    days = np.unique(day_of)[1:-1]
    warm_up = int(np.searchsorted(days, day_of[0] + WARM_UP_DAYS)) if len(days) else 0
    return days[min(warm_up, max(len(days) - DAYS_KEPT_MIN, 0)) :][-DAYS_MAX:]


def _places(codes: Rows, feature: str, segments: Sequence[Segment]) -> Integers:
    """Return the place in the counts of the segment that each code is in, shape (n,); one too many where in none."""
    places = np.full(len(codes), 1 + len(segments), dtype=np.int64)
    for at, segment in enumerate(segments):
        if segment.feature == feature:
            places[codes == segment.code] = 1 + at
    return places


def _counted(numbers: Integers, groups: Sequence[Integers], cells: Integers, shape: tuple[int, ...]) -> Integers:
    """Return counts of shape (days, places, bins); numbers, cells and each group: the day, bin and place of each."""
    days, places, _, bins = shape
    counts = np.zeros((days, places + 1, bins), dtype=np.int64)
    for group in groups:
        at = (numbers * (places + 1) + group) * bins + cells
        counts += np.bincount(at, minlength=counts.size).reshape(counts.shape)
    return counts[:, :places]


def _ranges(rows: Rows) -> tuple[list[float], list[float]]:
    """Return the smallest and the largest value of each feature; 0 of one that has no number."""
    finite = np.isfinite(rows)
    some = finite.any(axis=0)
    low = np.where(finite, rows, np.inf).min(axis=0)
    high = np.where(finite, rows, -np.inf).max(axis=0)
    return np.where(some, low, 0.0).tolist(), np.where(some, high, 0.0).tolist()
