"""Files as rows, read a piece at a time."""

import csv
import io
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
import polars as pl

from shared.files.event_file import FileError
from shared.files.mapping import Row, RowError

_ROWS_PER_SLICE = 50_000


class Source(Protocol):
    """A file of rows."""

    @property
    def columns(self) -> Sequence[str] | None:
        """Names of the columns; None where every row has its own."""
        ...

    def rows(self, columns: Sequence[str]) -> Iterator[Row | RowError]:
        """Yield every row, with `columns` at least, or what is wrong with it; raises FileError."""
        ...

    def fraction(self) -> float:
        """Return how much of the file has been read, 0 to 1."""
        ...


def open_source(path: Path) -> Source:
    """Return the rows of `path`, whose suffix tells the format.

    Raises:
        FileError: no such file, an unknown format, or not what its suffix says.
    """
    kinds: dict[str, Callable[[Path], Source]] = {
        ".csv": CsvSource,
        ".jsonl": JsonLinesSource,
        ".ndjson": JsonLinesSource,
        ".parquet": ParquetSource,
    }
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise FileError(f"{path}: unknown format; a file ends in one of {', '.join(kinds)}")
    if not path.is_file():
        raise FileError(f"{path}: no such file")
    return kind(path)


class CsvSource:
    """Comma-separated values with a header, in UTF-8."""

    def __init__(self, path: Path) -> None:
        self._reading = _Reading(path)
        self.columns = next(self._cells(), [])
        if not self.columns:
            raise FileError(f"{path}: empty; the first line must name the columns")

    def rows(self, columns: Sequence[str]) -> Iterator[Row | RowError]:
        del columns  # every cell of a line is read anyway
        width = len(self.columns)
        for row in itertools.islice(self._cells(), 1, None):
            if len(row) == width:
                yield dict(zip(self.columns, row, strict=True))
            elif row:
                yield RowError("not_csv", f"{len(row)} cells where the header names {width} columns")

    def fraction(self) -> float:
        return self._reading.fraction()

    def _cells(self) -> Iterator[list[str]]:
        cells = csv.reader(self._reading.lines())
        try:
            yield from cells
        except csv.Error as error:
            raise FileError(f"{self._reading.path}: not CSV, line {cells.line_num}: {error}") from error


class JsonLinesSource:
    """One JSON object a line."""

    columns = None

    def __init__(self, path: Path) -> None:
        self._reading = _Reading(path)

    def rows(self, columns: Sequence[str]) -> Iterator[Row | RowError]:
        del columns  # a line is decoded as a whole
        decoder = msgspec.json.Decoder(dict[str, Any])
        for line in self._reading.lines():
            if not line.strip():
                continue
            try:
                yield decoder.decode(line)
            except (msgspec.DecodeError, RecursionError) as error:
                yield RowError("not_json", f"not a JSON object: {error}")

    def fraction(self) -> float:
        return self._reading.fraction()


class ParquetSource:
    """Apache Parquet, a slice at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._scan = pl.scan_parquet(path)
            self.columns = self._scan.collect_schema().names()
            self._rows_total = int(self._scan.select(pl.len()).collect().item())
        except (pl.exceptions.PolarsError, OSError) as error:
            raise FileError(f"{path}: not Parquet: {error}") from error
        self._rows_read = 0

    def rows(self, columns: Sequence[str]) -> Iterator[Row | RowError]:
        chosen = self._scan.select(columns)
        for start in range(0, self._rows_total, _ROWS_PER_SLICE):
            try:
                rows = chosen.slice(start, _ROWS_PER_SLICE).collect()
            except (pl.exceptions.PolarsError, OSError) as error:
                raise FileError(f"{self._path}: cannot be read behind row {start}: {error}") from error
            for row in rows.iter_rows(named=True):
                self._rows_read += 1
                yield row

    def fraction(self) -> float:
        return self._rows_read / max(1, self._rows_total)


class _Reading:
    """A text file read by lines, that tells how far."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._bytes_total = path.stat().st_size
        self._bytes_read = 0

    def lines(self) -> Iterator[str]:
        with self.path.open("rb") as file:
            try:
                # newline="": a quoted CSV cell may hold line ends of its own.
                for line in io.TextIOWrapper(file, encoding="utf-8-sig", newline=""):
                    self._bytes_read = file.tell()
                    yield line
            except UnicodeDecodeError as error:
                raise FileError(f"{self.path}: not UTF-8 ({error}); convert it first") from error

    def fraction(self) -> float:
        return self._bytes_read / max(1, self._bytes_total)
