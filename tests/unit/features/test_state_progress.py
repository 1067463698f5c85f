"""What the features service says of the state: how old it is, and when it must be rebuilt."""

import logging
from datetime import UTC, datetime, timedelta

import pytest

from services.features.progress import STATE_LOST, StateProgress
from shared.bus.base import Standing, TopicPartition
from shared.features.catalog.fraud import FRAUD
from shared.features.definitions import DAY, Aggregation, Entity, FeatureSet, Window
from shared.features.progress import PROGRESS_KEY, Progress, milliseconds
from shared.runtime import metrics
from shared.runtime.clock import ManualClock
from shared.store.base import StoreUnavailableError
from shared.store.memory import MemoryStore

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOW_MS = milliseconds(NOW)
PAYMENTS, LABELS = TopicPartition("transactions", 1), TopicPartition("labels", 0)
SECOND = timedelta(seconds=1)


class Scene:
    def __init__(self, *, has_read_before: bool = False) -> None:
        self.clock = ManualClock(NOW)
        self.store = MemoryStore(self.clock)
        self.has_read_before = has_read_before
        self.progress = self.started()

    def started(self, feature_set: FeatureSet = FRAUD) -> StateProgress:
        return StateProgress(self.store, self.clock, feature_set, has_read_before=lambda: self.has_read_before)

    def told(self) -> Progress:
        return Progress.decode(self.store._values.get(PROGRESS_KEY, b""))

    def report(self, **standing: Standing) -> None:
        places = {"payments": PAYMENTS, "labels": LABELS}
        self.progress.report({places[name]: at for name, at in standing.items()}, self.clock.now())


def test_a_log_that_was_never_read_lacks_nothing() -> None:
    scene = Scene()
    assert (scene.progress.not_open(), scene.progress.problem()) == (None, None)
    scene.has_read_before = True
    again = scene.started()
    assert (again.not_open(), again.problem()) == (None, None)


def test_an_empty_store_beside_a_log_that_was_read_must_be_rebuilt() -> None:
    scene = Scene(has_read_before=True)
    assert scene.progress.not_open() is None
    assert scene.progress.problem() == STATE_LOST


def test_a_store_emptied_under_the_running_service_is_noticed_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.progress.not_open()
    scene.has_read_before = True
    scene.report(payments=Standing(0, NOW_MS))
    scene.store._values.clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            scene.report(payments=Standing(0, NOW_MS))
    assert scene.progress.problem() == STATE_LOST
    assert [record.message for record in caplog.records] == [STATE_LOST]
    assert metrics.STATE_COMPLETE.labels("features")._value.get() == 0
    assert scene.started().not_open() is None
    assert scene.progress.problem() == STATE_LOST


def test_a_feature_that_looks_further_back_than_was_kept_needs_a_rebuild() -> None:
    scene = Scene()
    scene.progress.not_open()
    scene.has_read_before = True
    wider = FeatureSet("wider", (*FRAUD.features, Window(Entity.USER, Aggregation.COUNT, 90 * DAY)))
    progress = scene.started(wider)
    progress.not_open()
    assert progress.problem() == STATE_LOST
    narrower = scene.started(FeatureSet("narrower", FRAUD.features[:1]))
    narrower.not_open()
    assert narrower.problem() is None
    # What the narrower set let go of is not there any more.
    progress = scene.started()
    progress.not_open()
    assert progress.problem() == STATE_LOST


def test_where_nothing_waits_the_state_is_of_now_and_else_of_the_last_record() -> None:
    scene = Scene()
    scene.progress.not_open()
    scene.report(payments=Standing(0, NOW_MS - 60_000), labels=Standing(8, NOW_MS - 90_000))
    assert scene.told().age_seconds(NOW) == 90.0
    assert (scene.told().lag_records, scene.progress.lag_records()) == (8, 8)
    scene.clock.advance(10 * SECOND)
    scene.report(payments=Standing(1, NOW_MS - 60_000), labels=Standing(0, NOW_MS))
    assert scene.told().age_seconds(scene.clock.now()) == 10.0  # all of the payments before were in it then


def test_a_producer_whose_clock_is_ahead_does_not_hide_that_the_state_is_old() -> None:
    scene = Scene()
    scene.progress.not_open()
    scene.report(payments=Standing(5, NOW_MS + 3_600_000))
    scene.clock.advance(90 * SECOND)
    assert scene.told().age_seconds(scene.clock.now()) == 90.0


def test_a_new_owner_that_has_read_nothing_yet_takes_over_what_was_told() -> None:
    scene = Scene()
    scene.progress.not_open()
    scene.report(payments=Standing(0, NOW_MS))
    scene.progress = scene.started()
    scene.clock.advance(5 * SECOND)
    scene.report(payments=Standing(12, None))
    assert (scene.told().age_seconds(scene.clock.now()), scene.told().lag_records) == (5.0, 12)


def test_while_the_store_is_away_nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()

    def away(*_: object, **__: object) -> list[bytes]:
        raise StoreUnavailableError("Redis does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(scene.store, "append_and_read", away)
        assert scene.progress.not_open() == "Redis does not answer"
    assert scene.progress.not_open() is None
    assert scene.progress.problem() is None
