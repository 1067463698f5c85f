"""What is learnt outlives the process."""

import logging
import pickle
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from services.drift.checkpoint import Checkpoint, Checkpointed
from services.drift.handlers import Monitor
from services.drift.settings import DriftSettings
from shared.bus.base import Outgoing
from shared.models.packages import Packages
from shared.runtime import metrics
from shared.runtime.clock import ManualClock
from shared.runtime.loop import Delivery
from tests.unit.drift.drift_scene import (
    MISSED,
    NOW,
    Log,
    decided_frauds,
    decoded,
    manifest,
    promotion,
    register,
    requests,
)

INTERVAL_SECONDS = 30.0


class Process:
    """A drift monitor as a process runs it; another one in the same folder takes up what it left."""

    def __init__(self, home: Path) -> None:
        self.clock = ManualClock(NOW)
        self.path = home / "drift" / "test-monitor.checkpoint"
        settings = DriftSettings(headrace_home=home)
        monitor = Monitor(Packages(home / "models").manifest, settings, self.clock)
        checkpoint = Checkpoint(self.path, settings)
        self.monitor = Checkpointed("monitor", monitor, checkpoint, self.clock, interval_seconds=INTERVAL_SECONDS)

    def feed(self, deliveries: list[Delivery]) -> list[Outgoing]:
        """Take in a batch, and let the interval pass."""
        self.clock.advance(timedelta(seconds=INTERVAL_SECONDS))
        return list(self.monitor(deliveries))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    register(tmp_path, manifest())
    return tmp_path


def _batches(deliveries: list[Delivery], size: int) -> Iterator[list[Delivery]]:
    for at in range(0, len(deliveries), size):
        yield deliveries[at : at + size]


def test_a_monitor_that_is_killed_again_and_again_says_what_one_that_lives_says(home: Path, tmp_path: Path) -> None:
    deliveries = Log().deliveries([promotion(), *decided_frauds(MISSED), *decided_frauds(MISSED, first=50)])
    living = Process(tmp_path / "living")
    register(tmp_path / "living", manifest())
    expected = [answer for batch in _batches(deliveries, 20) for answer in living.feed(batch)]
    assert len(requests(decoded(expected))) == 1
    told = [answer for batch in _batches(deliveries, 20) for answer in Process(home).feed(batch)]
    assert told == expected, "the same alarms under the same ids, and one request"


def test_a_batch_that_was_answered_and_not_committed_is_answered_alike_by_the_next_process(home: Path) -> None:
    batch = Log().deliveries([promotion(), *decided_frauds(MISSED)])
    # No interval passes: an answer never leaves before it is remembered.
    answered = list(Process(home).monitor(batch))
    assert len(answered) == 2
    assert list(Process(home).monitor(batch)) == answered


def test_a_request_that_was_committed_is_not_made_again(home: Path) -> None:
    log = Log()
    assert len(Process(home).monitor(log.deliveries([promotion(), *decided_frauds(MISSED)]))) == 2
    next_process = Process(home)
    assert next_process.monitor(log.deliveries(decided_frauds(MISSED, first=50))) == []
    status = next_process.monitor.status()
    assert status is not None
    assert status.request is not None
    assert "training has not answered yet" in status.waits_for
    assert len(status.alarms) == 1


def test_a_crash_loses_no_more_than_the_interval(home: Path) -> None:
    log = Log()
    process = Process(home)
    process.feed(log.deliveries([promotion(), *decided_frauds(MISSED[:20])]))
    assert process.monitor(log.deliveries(decided_frauds([True] * 5, first=20))) == []
    status = Process(home).monitor.status()
    assert status is not None
    assert [signal.samples for signal in status.signals if signal.name == "recall"] == [20]


def test_an_orderly_stop_loses_nothing(home: Path) -> None:
    log = Log()
    process = Process(home)
    process.monitor(log.deliveries([promotion(), *decided_frauds(MISSED[:20])]))
    process.monitor.close()
    assert len(requests(decoded(Process(home).feed(log.deliveries(decided_frauds(MISSED, first=20)))))) == 1


def test_a_bug_within_a_batch_leaves_the_checkpoint_before_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Log()
    process = Process(home)
    process.feed(log.deliveries([promotion(), *decided_frauds(MISSED[:20])]))
    content = process.path.read_bytes()
    monkeypatch.setattr("services.drift.labels.payments.Payments.label", None)
    with pytest.raises(TypeError):
        process.feed(log.deliveries(decided_frauds(MISSED[:5], first=20)))
    process.monitor.close()
    assert process.path.read_bytes() == content


@pytest.mark.parametrize(
    ("kept", "put_in", "problem"),
    [
        (slice(0, 1_000), b"", "it is damaged"),
        (slice(0, 0), b"", "it is damaged"),
        (slice(0, 40), b"of another version", "it was written by another version"),
    ],
)
def test_a_file_that_cannot_be_used_is_set_aside_and_the_log_says_why(
    home: Path, kept: slice, put_in: bytes, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process(home)
    process.feed(Log().deliveries([promotion(), *decided_frauds(MISSED)]))
    content = process.path.read_bytes()
    rest = content[len(content[kept]) + len(put_in) :] if put_in else b""
    process.path.write_bytes(content[kept] + put_in + rest)
    with caplog.at_level(logging.WARNING):
        assert Process(home).monitor.status() is None
    assert problem in caplog.text
    assert not process.path.exists()
    assert process.path.with_suffix(".unusable").exists()


def test_other_settings_of_drift_start_anew_and_others_do_not(home: Path) -> None:
    path = home / "drift" / "test.checkpoint"
    Checkpoint(path, DriftSettings()).write(pickle.dumps("learnt"))
    assert Checkpoint(path, DriftSettings(headrace_log_level="debug")).read() == "learnt"
    assert Checkpoint(path, DriftSettings(headrace_drift_checkpoint_seconds=1)).read() == "learnt"
    assert Checkpoint(path, DriftSettings(headrace_drift_psi_min=0.3)).read() is None


def test_a_disk_that_is_full_is_counted_and_the_monitor_watches_on(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    failures = metrics.DRIFT_CHECKPOINT_FAILURES.labels("monitor")
    before = failures._value.get()
    answers = Process(home).feed(Log().deliveries([promotion(), *decided_frauds(MISSED)]))
    assert len(answers) == 2
    assert failures._value.get() == before + 1
    assert "No space left on device" in caplog.text
