"""Payments that were answered over REST, on this machine's disk until the log has them.

Segments of a folder are written at their end and read from their beginning. An entry is a length and a CRC-32, then
what they speak of: whether the store knows of the payment, when it was answered, and the lengths of key and payment;
key, payment, decision. A process that is killed loses nothing it wrote; a machine that stops loses what was not synced.
"""

import contextlib
import fcntl
import itertools
import logging
import os
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

SEGMENT_BYTES = 16 * 1024 * 1024
_READ_BYTES = 1024 * 1024
_FRAME = struct.Struct("<II")
_HEAD = struct.Struct("<?qHI")
_MARK = struct.Struct("<QQI")


class JournalBusyError(Exception):
    """Another process has this journal."""


class JournalClosedError(Exception):
    """It is not open yet, or not any more."""


class Entry(NamedTuple):
    """A payment that was answered.

    key, payment: the record for the log. decision: the bytes that were answered.
    is_settled: the store has the payment in its states, and the decision as its answer.
    answered_ms: when, in milliseconds since 1970.
    """

    key: bytes
    payment: bytes
    decision: bytes
    is_settled: bool
    answered_ms: int


class Position(NamedTuple):
    """A place between two entries: in which segment, and how many bytes into it."""

    segment: int
    offset: int


class Batch(NamedTuple):
    """Entries that follow one another, and the place behind them."""

    entries: list[Entry]
    end: Position


class Journal:
    """One folder's entries: appended by one thread, read and let go by another."""

    def __init__(self, folder: Path, *, is_synced: bool = False) -> None:
        """Name the folder; `open` makes it. is_synced: `sync` is called before anybody relies on an entry."""
        self.folder = folder
        self.waiting_entries = 0
        self.waiting_bytes = 0
        self._is_synced = is_synced
        self._lock = threading.Lock()
        self._lock_file = -1
        self._file = -1
        self._mark = self._end = Position(0, 0)
        self._ends: dict[int, int] = {}

    @property
    def is_open(self) -> bool:
        """Tell whether entries are taken."""
        return self._file >= 0

    def open(self) -> None:
        """Take the folder for this process, and find what was left in it; what was half written is cut off.

        Raises:
            JournalBusyError: another process has it.
            OSError: the disk does not work.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock_file = _locked(self.folder / "lock")
        try:
            self._find()
        except BaseException:
            os.close(lock_file)
            raise
        self._lock_file = lock_file

    def append(self, entries: Sequence[Entry]) -> None:
        """Write all of `entries`, or none.

        Raises:
            JournalClosedError: it is not open.
            OSError: the disk does not take them.
        """
        data = b"".join(map(_packed, entries))
        with self._lock:
            if self._file < 0:
                raise JournalClosedError("the journal is not open")
            if self._end.offset >= SEGMENT_BYTES:
                self._begin(self._end.segment + 1)
            written = 0
            try:
                written = os.pwrite(self._file, data, self._end.offset)
            finally:
                if written < len(data):
                    self._cut()
            if written < len(data):
                raise OSError(f"the disk is full: it took {written} of {len(data)} bytes")
            self._end = Position(self._end.segment, self._end.offset + written)
            self._ends[self._end.segment] = self._end.offset
            self.waiting_entries += len(entries)
            self.waiting_bytes += written

    def sync(self) -> None:
        """Wait until the disk has what was appended before; raises OSError."""
        with self._lock:
            file = os.dup(self._file)
        try:
            os.fdatasync(file)
        finally:
            os.close(file)

    def batches(self, *, entries_max: int) -> Iterator[Batch]:
        """Go through what is there now, from where `let_go` left off."""
        with self._lock:
            ends, mark = dict(self._ends), self._mark
        for segment in sorted(number for number in ends if number >= mark.segment):
            start = mark.offset if segment == mark.segment else 0
            placed = _entries(self._path(segment), start, ends[segment]) if start < ends[segment] else iter(())
            while chunk := list(itertools.islice(placed, entries_max)):
                yield Batch([entry for entry, _ in chunk], Position(segment, chunk[-1][1]))

    def let_go(self, batch: Batch) -> None:
        """Forget everything up to the end of `batch`, which was read last; segments that are done with are removed."""
        end = batch.end
        self._mark_path.write_bytes(_marked(end))
        with self._lock:
            self.waiting_entries -= len(batch.entries)
            self.waiting_bytes -= sum(map(_size, batch.entries))
            self._mark = end
            done = [number for number in self._ends if number < end.segment]
            done += [end.segment] if end.offset == self._ends[end.segment] and end.segment != self._end.segment else []
            for number in done:
                del self._ends[number]
        for number in done:
            self._path(number).unlink()

    def close(self) -> None:
        """Let others have the folder; one that is empty is removed."""
        with self._lock:
            if self._file < 0:
                return
            os.close(self._file)
            self._file = -1
            if self.waiting_entries == 0:
                for path in self.folder.iterdir():
                    path.unlink()
                with contextlib.suppress(OSError):  # somebody waits for it already
                    self.folder.rmdir()
            os.close(self._lock_file)

    def _find(self) -> None:
        """Take note of what was left, and begin a segment of our own."""
        found = sorted(int(path.stem) for path in self.folder.glob("*.journal"))
        mark = _read_mark(self._mark_path)
        if mark is None or mark.segment not in found:
            mark = Position(min(found, default=0), 0)
        self._mark, self._ends = mark, {}
        self.waiting_entries = self.waiting_bytes = 0
        for segment in found:
            if segment < mark.segment:
                self._path(segment).unlink()
            else:
                self._ends[segment] = self._whole_bytes(segment)
        self._begin(max(found, default=mark.segment) + 1)

    def _begin(self, segment: int) -> None:
        """Write to a new segment from now on."""
        file = os.open(self._path(segment), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        if self._file >= 0:
            if self._is_synced:
                os.fdatasync(self._file)
            os.close(self._file)
        self._file = file
        self._end = Position(segment, 0)
        self._ends[segment] = 0
        if self._is_synced:
            _sync_names(self.folder)

    def _cut(self) -> None:
        """Take back what was half written; where that fails too, the checksum tells, or it is written over."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, self._end.offset)

    def _whole_bytes(self, segment: int) -> int:
        """Count the entries that wait in a segment found at the start; return where the last whole one ends."""
        path = self._path(segment)
        size = path.stat().st_size
        end = start = self._mark.offset if segment == self._mark.segment else 0
        for _, place in _entries(path, start, size):
            self.waiting_entries += 1
            end = place
        self.waiting_bytes += end - start
        if end < size:
            log.warning("%s: the last %d bytes were cut off: an entry was not written to its end", path, size - end)
            os.truncate(path, end)
        return end

    @property
    def _mark_path(self) -> Path:
        return self.folder / "mark"

    def _path(self, segment: int) -> Path:
        return self.folder / f"{segment:012d}.journal"


def _size(entry: Entry) -> int:
    return _FRAME.size + _HEAD.size + len(entry.key) + len(entry.payment) + len(entry.decision)


def _packed(entry: Entry) -> bytes:
    key, payment, decision, is_settled, answered_ms = entry
    content = b"".join((_HEAD.pack(is_settled, answered_ms, len(key), len(payment)), key, payment, decision))
    return _FRAME.pack(len(content), zlib.crc32(content)) + content


def _unpacked(content: bytes) -> Entry:
    is_settled, answered_ms, key_bytes, payment_bytes = _HEAD.unpack_from(content)
    payment_at = _HEAD.size + key_bytes
    decision_at = payment_at + payment_bytes
    key, payment = content[_HEAD.size : payment_at], content[payment_at:decision_at]
    return Entry(key, payment, content[decision_at:], is_settled, answered_ms)


def _entries(path: Path, start: int, end: int) -> Iterator[tuple[Entry, int]]:
    """Yield the entries between two places of a file, and where each ends, up to the first that is not whole."""
    with path.open("rb", buffering=_READ_BYTES) as file:
        file.seek(start)
        at = start
        while at + _FRAME.size <= end:
            length, checksum = _FRAME.unpack(file.read(_FRAME.size))
            content = file.read(length) if at + _FRAME.size + length <= end else b""
            if len(content) < max(length, _HEAD.size) or zlib.crc32(content) != checksum:
                return
            at += _FRAME.size + length
            yield _unpacked(content), at


def _locked(path: Path) -> int:
    """Return a file that is locked for this process, until it is closed or the process ends."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had it may have removed it before it was locked here.
        is_there = path.exists() and os.fstat(file).st_ino == path.stat().st_ino
    except BlockingIOError:
        is_there = False
    if not is_there:
        os.close(file)
        raise JournalBusyError(f"{path.parent} is used by another process")
    return file


def _sync_names(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _marked(position: Position) -> bytes:
    return _MARK.pack(*position, zlib.crc32(b"%d:%d" % position))


def _read_mark(path: Path) -> Position | None:
    data = path.read_bytes() if path.exists() else b""
    if len(data) != _MARK.size:
        return None
    segment, offset, checksum = _MARK.unpack(data)
    position = Position(segment, offset)
    return position if zlib.crc32(b"%d:%d" % position) == checksum else None
