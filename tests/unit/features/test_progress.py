"""How far the state is, as every reader of the store learns it."""

from datetime import UTC, datetime, timedelta

from shared.features.catalog.fraud import FRAUD
from shared.features.definitions import DAY, HOUR, Aggregation, Entity, FeatureSet, Window
from shared.features.progress import PROGRESS_KEY, Patch, Progress, applied, milliseconds, needed_hours, whole
from shared.runtime.clock import SystemClock
from shared.store.memory import MemoryStore

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOW_MS = milliseconds(NOW)


def after(*patches: Patch) -> Progress:
    """What a reader finds once the store has taken the patches."""
    store = MemoryStore(SystemClock())
    store.patch(PROGRESS_KEY, patches=patches)
    (value,) = store.append_and_read([], [PROGRESS_KEY], expire_after=HOUR)
    return Progress.decode(value)


def test_an_empty_store_tells_nothing_and_is_not_complete() -> None:
    nothing = Progress.decode(b"")
    assert (nothing.age_seconds(NOW), nothing.lag_records) == (None, None)
    assert not nothing.is_complete(needed_hours(FRAUD))


def test_a_store_emptied_under_a_running_service_is_not_complete() -> None:
    assert not after(applied("labels", 3, through_ms=NOW_MS, waiting_records=0)).is_complete(needed_hours(FRAUD))


def test_the_slowest_partition_tells_the_age_and_all_together_the_lag() -> None:
    progress = after(
        whole(needed_hours(FRAUD)),
        applied("transactions", 0, through_ms=NOW_MS - 250, waiting_records=0),
        applied("transactions", 5, through_ms=NOW_MS - 90_000, waiting_records=7),
        applied("labels", 5, through_ms=NOW_MS, waiting_records=2),
    )
    assert progress.is_complete(needed_hours(FRAUD))
    assert (progress.age_seconds(NOW), progress.lag_records) == (90.0, 9)
    assert set(progress.partitions) == {("transactions", 0), ("transactions", 5), ("labels", 5)}


def test_a_partition_of_which_nothing_was_read_yet_keeps_its_age_and_tells_its_lag() -> None:
    before = applied("labels", 1, through_ms=NOW_MS - 1000, waiting_records=0)
    progress = after(before, applied("labels", 1, through_ms=None, waiting_records=40))
    assert (progress.age_seconds(NOW), progress.lag_records) == (1.0, 40)
    unknown = after(applied("labels", 1, through_ms=None, waiting_records=40))
    assert (unknown.age_seconds(NOW), unknown.lag_records) == (None, 40)


def test_a_state_ahead_of_this_clock_has_no_negative_age() -> None:
    assert after(applied("labels", 0, through_ms=NOW_MS + 5, waiting_records=0)).age_seconds(NOW) == 0.0


def test_a_longer_window_needs_more_history_than_was_kept() -> None:
    def looking_back(length: timedelta, entity: Entity = Entity.CARD) -> tuple[int, ...]:
        return needed_hours(FeatureSet("test", (Window(entity, Aggregation.COUNT, length),)))

    kept = after(whole(looking_back(30 * DAY)))
    assert kept.is_complete(looking_back(7 * DAY))
    assert not kept.is_complete(looking_back(30 * DAY + timedelta(minutes=1)))
    assert not kept.is_complete(looking_back(HOUR, Entity.DEVICE))
