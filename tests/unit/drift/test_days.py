import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.drift.data.days import LATER_MIN, OPEN_MAX, Calendar, begin_of, days_of

DAY_US = 86_400_000_000


def taken(calendar: Calendar, *days: int) -> tuple[int, list[int]]:
    """How many payments were counted, and the days that were over in turn."""
    runs = calendar.take(np.array(days, dtype=np.int64))
    return sum(run.last - run.first for run in runs), [day for run in runs for day in run.closed]


def test_a_day_ends_at_midnight_utc() -> None:
    assert days_of(np.array([0, DAY_US - 1, DAY_US, -1])).tolist() == [0, 0, 1, -1]
    assert begin_of(20_000).isoformat() == "2024-10-04T00:00:00+00:00"


def test_a_day_is_over_when_enough_payments_of_later_days_have_come() -> None:
    calendar = Calendar()
    assert taken(calendar, *[10] * 500, *[11] * (LATER_MIN - 1)) == (519, [])
    assert taken(calendar, 11) == (1, [10])
    assert taken(calendar, 10, 11) == (1, []), "one that comes now is too late"
    assert calendar.out_of_calendar == 1


def test_of_a_large_day_a_hundredth_must_have_come_later() -> None:
    calendar = Calendar()
    assert taken(calendar, *[10] * 10_000, *[11] * 99) == (10_099, [])
    assert taken(calendar, 11) == (1, [10])


def test_payments_dated_ahead_move_nothing_however_many_are_strewn_in() -> None:
    calendar = Calendar()
    for day in range(10, 20):
        ahead = [9_000, 9_000 + day, 7_000]
        assert taken(calendar, *([day] * 5 + ahead) * 100)[1] == ([day - 1] if day > 10 else [])


def test_a_stream_that_goes_on_after_weeks_is_followed() -> None:
    calendar = Calendar()
    taken(calendar, *[10] * 300)
    assert taken(calendar, *[40] * 300) == (300, [10])
    assert taken(calendar, *[41] * 300) == (300, [40])


def test_a_clock_that_was_ahead_and_is_set_back_is_followed() -> None:
    calendar = Calendar()
    taken(calendar, *[10] * 300, *[4_000] * 200, *[4_001] * 50)
    counted, closed = taken(calendar, *[10] * 400, *[11] * 400, *[12] * 400)
    assert closed[-2:] == [10, 11] or closed[-1:] == [11]
    assert counted >= 1_000
    assert taken(calendar, *[13] * 400) == (400, [12])


@given(st.lists(st.integers(0, 6), max_size=300), st.integers(1, 40))
def test_every_payment_is_counted_once_or_told_to_be_out_of_the_calendar(days: list[int], batch: int) -> None:
    calendar = Calendar()
    counted: dict[int, int] = {}
    closed: list[int] = []
    for at in range(0, len(days), batch):
        for run in calendar.take(np.array(days[at : at + batch], dtype=np.int64)):
            assert len(counted.keys() - set(closed)) <= OPEN_MAX
            for day in run.dropped:
                del counted[day]
            closed += run.closed
            counted[run.day] = counted.get(run.day, 0) + run.last - run.first
    assert sum(counted.values()) + calendar.out_of_calendar == len(days)


@given(st.lists(st.integers(0, 6), max_size=200), st.integers(1, 40))
def test_how_payments_are_batched_changes_nothing(days: list[int], batch: int) -> None:
    whole, cut = Calendar(), Calendar()
    runs = whole.take(np.array(days, dtype=np.int64))
    closed = [
        day
        for at in range(0, len(days), batch)
        for run in cut.take(np.array(days[at : at + batch], dtype=np.int64))
        for day in run.closed
    ]
    assert closed == [day for run in runs for day in run.closed]
    assert cut.out_of_calendar == whole.out_of_calendar
