"""A profile against a count, one payment after the other."""

from datetime import date

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from services.training.profile import (
    DAYS_KEPT_MIN,
    DAYS_MAX,
    ROWS,
    SEGMENTS_MAX,
    WARM_UP_DAYS,
    profile_of,
    segment_codes,
)
from services.training.references import category_reference, reference
from shared.models.manifest import Reference
from shared.models.profile import Profile

DAY_US = 86_400_000_000
FIRST_DAY = 20_000
NAMES = ["amount", "country"]
CODES = (82, 122, 147)


def payments(days: int, *, a_day: int = 60) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Rows and event times of payments; the first and the last day are not whole."""
    chance = np.random.default_rng(1)
    times = np.sort(((FIRST_DAY + chance.uniform(0.5, days - 0.5, days * a_day)) * DAY_US).astype(np.int64))
    rows = np.column_stack([chance.lognormal(4, 1, len(times)), chance.choice(CODES, len(times), p=[0.6, 0.39, 0.01])])
    return rows.astype(np.float32), times


def references(rows: npt.NDArray[np.float32]) -> dict[str, Reference]:
    return {
        "amount": reference(rows[:, 0]),
        "country": category_reference(rows[:, 1]),
    }


def profiled(days: int) -> tuple[Profile, npt.NDArray[np.float32]]:
    rows, times = payments(days)
    return profile_of(references(rows), NAMES, rows, times, segment_codes(NAMES, rows)), rows


def test_counts_are_those_of_each_payment() -> None:
    rows, times = payments(6)
    made = profile_of(references(rows), NAMES, rows, times, segment_codes(NAMES, rows))
    assert [(segment.feature, segment.code) for segment in made.segments] == [("country", 82), ("country", 122)]
    assert made.dates == [date.fromordinal(date(1970, 1, 1).toordinal() + FIRST_DAY + day) for day in range(1, 5)]
    counts = made.day_counts()
    by_hand = np.zeros_like(counts)
    for row, time in zip(rows, times, strict=True):
        day = int(time // DAY_US) - FIRST_DAY - 1
        if 0 <= day < len(made.dates):
            for place in (0, *(1 + at for at, segment in enumerate(made.segments) if segment.code == row[1])):
                for quantity, (name, value) in enumerate(zip(NAMES, row, strict=True)):
                    by_hand[day, place, quantity, int(references(rows)[name].bins_of(np.array(value)))] += 1
    assert (counts == by_hand).all()


def test_the_days_in_which_windows_still_fill_are_left_out() -> None:
    first = date.fromordinal(date(1970, 1, 1).toordinal() + FIRST_DAY)
    for days, kept in ((10, 8), (20, DAYS_KEPT_MIN), (60, 29), (150, DAYS_MAX)):
        made, _ = profiled(days)
        assert len(made.dates) == kept
        assert (made.dates[-1] - first).days == days - 2
        assert days - 2 < WARM_UP_DAYS + DAYS_KEPT_MIN or (made.dates[0] - first).days >= WARM_UP_DAYS


@pytest.mark.parametrize("days", [1, 2])
def test_payments_of_no_whole_day_have_a_profile_without_days(days: int) -> None:
    made, rows = profiled(days)
    assert made.dates == []
    assert made.day_counts().shape == (0, 3, 2, made.bins)
    assert len(made.sample()) == len(rows)


def test_ranges_and_sample_are_of_numbers() -> None:
    rows, times = payments(30)
    rows[::7, 0] = np.nan
    rows[5, 0] = np.inf
    made = profile_of(references(rows), NAMES, rows, times, {})
    finite = rows[np.isfinite(rows[:, 0]), 0]
    assert (made.low, made.high) == ([finite.min(), CODES[0]], [finite.max(), CODES[-1]])
    sample = made.sample()
    assert sample.shape == (ROWS, 2)
    ours = {row.tobytes() for row in rows}
    assert all(row.tobytes() in ours for row in sample)


def test_a_category_is_watched_by_itself_where_it_is_large_but_not_everything() -> None:
    only = np.column_stack([np.ones(1_000), np.full(1_000, 82)]).astype(np.float32)
    only[:15, 1] = 122
    assert segment_codes(NAMES, only) == {}
    many = np.column_stack([np.ones(1_000), np.arange(1_000) % 20]).astype(np.float32)
    assert len(segment_codes(NAMES, many)["country"]) == SEGMENTS_MAX


def test_a_profile_comes_back_from_a_manifest_as_it_was() -> None:
    made, _ = profiled(40)
    again = msgspec.json.decode(msgspec.json.encode(made), type=Profile)
    assert again == made
    assert (again.day_counts() == made.day_counts()).all()
