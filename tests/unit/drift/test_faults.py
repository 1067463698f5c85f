import pickle
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from services.drift.feeds.faults import SIGNAL_OF_MANY, FaultWatch
from tests.unit.drift.feed_scene import DAY_PAYMENTS, LIVE, Floats, Integers, champion, column, day_rows, day_times

THRESHOLD_DAYS = 900.0
BATCH = 20
BROKEN_FROM = 800
"""Payments of LIVE and the day after it are healthy."""


def fault_watch() -> FaultWatch:
    return FaultWatch(champion(), threshold_days=THRESHOLD_DAYS)


def stream(days: int) -> tuple[Floats, Integers]:
    rows = np.concatenate([day_rows(day) for day in range(days)])
    return rows, np.concatenate([day_times(day) for day in range(days)])


def activity(watch: FaultWatch, rows: Floats, times: Integers) -> list[bool]:
    """Return whether a feed counts as broken after each BATCH payments."""
    told = []
    for begin in range(0, len(rows), BATCH):
        watch.observe(rows[begin : begin + BATCH], times[begin : begin + BATCH])
        told.append(watch.active())
    return told


def alarmed_after(watch: FaultWatch, rows: Floats, times: Integers) -> int:
    """Return how many payments came from BROKEN_FROM on until the alarm."""
    for begin in range(0, len(rows), BATCH):
        watch.observe(rows[begin : begin + BATCH], times[begin : begin + BATCH])
        if watch.active():
            return begin + BATCH - BROKEN_FROM
    raise AssertionError("no alarm")


@pytest.mark.parametrize(
    ("name", "value", "payments_max", "told"),
    [
        ("amount", 25.0, 300, "the value 25"),
        ("amount", float("nan"), 120, "no number"),
        ("card_count", -999.0, 120, "far from all that training saw"),
        ("mcc", 9999.0, 120, "a category that training never met"),
        ("country", 20.0, 800, "the value 20"),
    ],
)
def test_a_broken_feed_is_told_within_hundreds_of_payments(
    name: str, value: float, payments_max: int, told: str
) -> None:
    rows, times = stream(4)
    rows[BROKEN_FROM:, column(name)] = value
    watch = fault_watch()
    assert 0 < alarmed_after(watch, rows, times) <= payments_max
    (finding,) = watch.findings()
    assert (finding.kind, finding.signal) == ("fault", f"feed_{name}")
    assert finding.statistic >= finding.threshold == THRESHOLD_DAYS
    assert told in finding.explanation
    assert "Nothing is learnt from it" in finding.explanation
    assert finding.since is not None
    assert abs(finding.since - (LIVE + timedelta(days=2))) < timedelta(hours=2)
    states = {signal.name: signal.state for signal in watch.signals()}
    assert [signal for signal, state in states.items() if state == "alarmed"] == [f"feed_{name}"]


def test_a_feed_recovers_and_can_break_again() -> None:
    rows, times = stream(5)
    for begin in (800, 1500):
        rows[begin : begin + 300, column("card_count")] = 0.0
    told = activity(fault_watch(), rows, times)
    changes = [BATCH * at for at in range(1, len(told)) if told[at] != told[at - 1]]
    assert len(changes) == 4
    broke, mended, broke_again, mended_again = changes
    assert 800 <= broke < 920
    assert 1100 <= mended < 1300
    assert 1500 <= broke_again < 1620
    assert 1800 <= mended_again < 2000


def test_vectors_of_zeros_are_told_as_one_fault() -> None:
    rows, times = stream(3)
    rows[BROKEN_FROM:] = 0.0
    watch = fault_watch()
    alarmed_after(watch, rows, times)
    watch.observe(rows[-100:], times[-100:])
    (finding,) = watch.findings()
    assert finding.signal == SIGNAL_OF_MANY
    assert "amount" in finding.explanation
    assert "broken at once" in finding.explanation


def test_a_healthy_stream_raises_nothing() -> None:
    # A quarter of every day is night, the constant comes to life, and cards become known, as they may.
    rows, times = stream(10)
    random = np.random.default_rng(3)
    rows[2000:, column("constant")] = random.normal(size=len(rows) - 2000)
    assert not any(activity(fault_watch(), rows, times))


def test_what_grows_with_a_young_history_is_not_a_fault() -> None:
    rows, times = stream(5)
    rows[:, column("card_count")] *= np.linspace(1.0, 6.0, len(rows))
    assert not any(activity(fault_watch(), rows, times))


def test_many_payments_at_one_merchant_are_not_a_fault() -> None:
    rows, times = stream(3)
    attack = slice(BROKEN_FROM, BROKEN_FROM + 300)
    rows[attack, column("amount")] = 25.0
    rows[attack, column("country")] = 20.0
    rows[attack, column("mcc")] = 5411.0
    assert not any(activity(fault_watch(), rows, times))


@pytest.mark.parametrize("jump", [timedelta(days=365), timedelta(days=-365)])
def test_a_clock_that_jumps_is_no_evidence(jump: timedelta) -> None:
    rows, times = stream(2)
    rows[500:540, column("mcc")] = 9999.0
    times[500:] += int(jump.total_seconds()) * 1_000_000
    assert not any(activity(fault_watch(), rows, times))


def test_it_goes_on_after_a_restart() -> None:
    rows, times = stream(3)
    rows[BROKEN_FROM:, column("amount")] = -1.0
    watch = fault_watch()
    watch.observe(rows[: BROKEN_FROM + 30], times[: BROKEN_FROM + 30])
    assert not watch.active()
    restarted: FaultWatch = pickle.loads(pickle.dumps(watch))  # noqa: S301 - its own
    restarted.observe(rows[BROKEN_FROM + 30 : BROKEN_FROM + 110], times[BROKEN_FROM + 30 : BROKEN_FROM + 110])
    assert restarted.active()


def test_how_payments_are_batched_changes_nothing() -> None:
    rows, times = stream(3)
    rows[BROKEN_FROM:, column("amount")] = 25.0

    def told(batch: int) -> list[str]:
        watch = fault_watch()
        for begin in range(0, len(rows), batch):
            watch.observe(rows[begin : begin + batch], times[begin : begin + batch])
        return [finding.explanation for finding in watch.findings()]

    assert told(7) == told(DAY_PAYMENTS) != []


def test_without_a_profile_it_says_what_it_cannot_see() -> None:
    watch = FaultWatch(replace(champion(), profile=None), threshold_days=THRESHOLD_DAYS)
    watch.observe(day_rows(0), day_times(0))
    assert not watch.active()
    assert {signal.state for signal in watch.signals()} == {"blind"}
    assert "train the model again" in watch.signals()[0].note
