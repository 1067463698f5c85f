import pickle
from dataclasses import replace
from datetime import timedelta

import numpy as np

from services.drift.data.together import AUC_SLIGHT, DAYS_LEARNT_FROM_MIN, TogetherWatch
from tests.unit.drift.feed_scene import LIVE, Floats, champion, column, day_rows, day_times

THRESHOLD_DAYS = 900.0


def together_watch(*, day_payments_min: int = 200) -> TogetherWatch:
    return TogetherWatch(champion(), threshold_days=THRESHOLD_DAYS, day_payments_min=day_payments_min)


def flipped(rows: Floats) -> Floats:
    """Return the same amounts, the largest now paid by those who used to pay least."""
    means = rows[:, column("card_mean")]
    turned = rows.copy()
    turned[np.argsort(means), column("amount")] = np.sort(rows[:, column("amount")])[::-1]
    return turned


def test_what_no_feature_shows_by_itself_is_found_and_named() -> None:
    watch = together_watch()
    found_after = None
    for day in range(7):
        watch.observe(flipped(day_rows(day)) if day >= 3 else day_rows(day), day_times(day))
        if found_after is None and watch.findings():
            found_after = day
            found = watch.findings()
    assert found_after is not None
    (finding,) = found
    assert finding.kind == "data"
    assert finding.statistic >= finding.threshold == THRESHOLD_DAYS
    assert "amount" in finding.explanation
    assert "card_mean" in finding.explanation
    assert "right in" in finding.explanation
    assert finding.since is not None
    assert abs(finding.since - (LIVE + timedelta(days=3))) <= timedelta(days=1)


def test_weekends_and_chance_are_not_drift() -> None:
    watch = together_watch()
    for day in range(9):
        watch.observe(day_rows(day), day_times(day))
    (signal,) = watch.signals()
    assert signal.state == "quiet"
    assert signal.value is not None
    assert signal.value < AUC_SLIGHT
    assert signal.evidence_days < 10


def test_the_calendar_gives_nothing_away() -> None:
    watch = together_watch()
    for day in range(6):
        rows = day_rows(day)
        rows[:, column("night")] = 1.0
        watch.observe(rows, day_times(day))
    assert watch.signals()[0].evidence_days < 10


def test_one_odd_day_is_not_drift() -> None:
    watch = together_watch()
    for day in range(6):
        watch.observe(flipped(day_rows(day)) if day == 4 else day_rows(day), day_times(day))
        assert not watch.findings()


def test_days_with_few_payments_are_judged_together() -> None:
    watch = together_watch(day_payments_min=600)
    for day in range(8):
        watch.observe(day_rows(day), day_times(day))
    (signal,) = watch.signals()
    assert signal.note == ""
    assert DAYS_LEARNT_FROM_MIN == 2
    assert signal.state == "quiet"


def test_payments_may_come_in_any_order_and_the_state_survives_a_restart() -> None:
    ordered, shuffled = together_watch(), together_watch()
    random = np.random.default_rng(5)
    for day in range(4):
        rows, times = day_rows(day), day_times(day)
        ordered.observe(rows, times)
        order = random.permutation(len(rows))
        shuffled.observe(rows[order], times[order])
        shuffled = pickle.loads(pickle.dumps(shuffled))  # noqa: S301 - its own
    one, other = ordered.signals()[0], shuffled.signals()[0]
    assert one.state == other.state == "quiet"
    assert one.samples == other.samples > 0


def test_without_a_profile_it_says_what_it_cannot_see() -> None:
    watch = TogetherWatch(replace(champion(), profile=None), threshold_days=THRESHOLD_DAYS, day_payments_min=200)
    watch.observe(day_rows(0), day_times(0))
    (signal,) = watch.signals()
    assert signal.state == "blind"
    assert "train the model again" in signal.note
    assert not watch.findings()
