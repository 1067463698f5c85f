"""What was answered stays on disk until it is let go, whatever happens to the process."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from services.scoring import journal as journals
from services.scoring.journal import Batch, Entry, Journal, JournalBusyError, JournalClosedError


def entry(number: int, *, payment_bytes: int = 300, is_settled: bool = True) -> Entry:
    return Entry(f"card-{number}".encode(), b"p" * payment_bytes, b'{"n":%d}' % number, is_settled, 1_000 + number)


def opened(folder: Path) -> Journal:
    journal = Journal(folder)
    journal.open()
    return journal


def waiting(journal: Journal, *, entries_max: int = 3) -> list[Entry]:
    return [each for batch in journal.batches(entries_max=entries_max) for each in batch.entries]


def taken(journal: Journal, *, entries_max: int) -> Batch:
    batch = next(iter(journal.batches(entries_max=entries_max)))
    journal.let_go(batch)
    return batch


def abandon(journal: Journal) -> None:
    """End as a killed process does: nothing is written any more, and the lock is gone."""
    os.close(journal._file)
    os.close(journal._lock_file)


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "SEGMENT_BYTES", 1_000)


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.journal"))


@pytest.mark.usefixtures("small_segments")
def test_entries_come_out_as_they_went_in_across_segments_and_processes(tmp_path: Path) -> None:
    entries = [entry(number, is_settled=number % 2 == 0) for number in range(20)]
    first = opened(tmp_path / "a")
    for each in entries[:12]:
        first.append([each])
    assert waiting(first) == entries[:12]
    abandon(first)
    second = opened(tmp_path / "a")
    second.append(entries[12:])
    assert second.waiting_entries == 20
    assert waiting(second) == entries
    second.close()


@pytest.mark.usefixtures("small_segments")
def test_what_was_let_go_does_not_come_again_and_its_segments_go(tmp_path: Path) -> None:
    entries = [entry(number) for number in range(20)]
    journal = opened(tmp_path / "a")
    for each in entries:
        journal.append([each])
    before = segments(tmp_path / "a")
    gone = [each for _ in range(4) for each in taken(journal, entries_max=3).entries]
    assert waiting(journal) == entries[len(gone) :]
    assert len(segments(tmp_path / "a")) < len(before)
    abandon(journal)
    again = opened(tmp_path / "a")
    assert waiting(again) == entries[len(gone) :]
    assert again.waiting_entries == 20 - len(gone)
    assert again.waiting_bytes == sum(map(journals._size, entries[len(gone) :]))


@pytest.mark.parametrize("lost_bytes", [1, 40, 330])
def test_a_torn_end_is_cut_off_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture, lost_bytes: int) -> None:
    journal = opened(tmp_path / "a")
    journal.append([entry(0), entry(1)])
    abandon(journal)
    (path,) = segments(tmp_path / "a")
    os.truncate(path, path.stat().st_size - lost_bytes)
    again = opened(tmp_path / "a")
    assert waiting(again) == [entry(0)]
    assert "were cut off" in caplog.text
    again.append([entry(2)])
    assert waiting(again) == [entry(0), entry(2)]


def test_bytes_that_changed_are_not_taken_for_an_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = opened(tmp_path / "a")
    journal.append([entry(0), entry(1)])
    abandon(journal)
    (path,) = segments(tmp_path / "a")
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    assert waiting(opened(tmp_path / "a")) == [entry(0)]
    assert "were cut off" in caplog.text


def test_a_lost_mark_repeats_rather_than_loses(tmp_path: Path) -> None:
    journal = opened(tmp_path / "a")
    journal.append([entry(0), entry(1)])
    taken(journal, entries_max=1)
    abandon(journal)
    (tmp_path / "a" / "mark").write_bytes(b"half")
    assert waiting(opened(tmp_path / "a")) == [entry(0), entry(1)]


@contextmanager
def disk_takes(size: int) -> Iterator[None]:
    """A file larger than `size` is refused, as by a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 100])
def test_what_the_disk_does_not_take_whole_is_not_there_at_all(tmp_path: Path, room: int) -> None:
    journal = opened(tmp_path / "a")
    journal.append([entry(0)])
    (path,) = segments(tmp_path / "a")
    with disk_takes(path.stat().st_size + room), pytest.raises(OSError, match=r"full|large"):
        journal.append([entry(1), entry(2)])
    journal.append([entry(3)])
    assert waiting(journal) == [entry(0), entry(3)]
    abandon(journal)
    assert waiting(opened(tmp_path / "a")) == [entry(0), entry(3)]


def test_two_processes_never_share_a_journal(tmp_path: Path) -> None:
    first = opened(tmp_path / "a")
    with pytest.raises(JournalBusyError, match="another process"):
        opened(tmp_path / "a")
    abandon(first)
    opened(tmp_path / "a").close()


def test_a_closed_journal_takes_nothing_and_leaves_no_folder_when_nothing_waits(tmp_path: Path) -> None:
    journal = opened(tmp_path / "a")
    journal.append([entry(0)])
    journal.close()
    with pytest.raises(JournalClosedError):
        journal.append([entry(1)])
    again = opened(tmp_path / "a")
    assert taken(again, entries_max=9).entries == [entry(0)]
    again.close()
    assert not (tmp_path / "a").exists()


def test_an_entry_as_large_as_a_payment_may_be(tmp_path: Path) -> None:
    large = entry(0, payment_bytes=1_000_000)
    journal = opened(tmp_path / "a")
    journal.append([large, entry(1)])
    journal.sync()
    assert waiting(journal) == [large, entry(1)]
