"""History for features that were defined after it: recomputes vectors from what the archive holds.

What is written into the archive stands there as what was served does, but in files of its own (see archive), so that
training finds a whole history right after a definition changed, and whoever compares served with recomputed vectors
leaves the recomputed ones out.
"""

import tempfile
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import NamedTuple

import polars as pl

from services.training.archive import Archive
from services.training.columns import VECTOR_COLUMNS, vector_table, with_features
from shared.features.backfill import backfilled
from shared.features.definitions import FeatureSet

PERIOD_DAYS = 30
"""Computed at once: longer periods read less history twice, and take more memory."""


class Progress(NamedTuple):
    """How far a run has come. fraction: 0 to 1. rows: vectors written so far."""

    fraction: float
    rows: int


Show = Callable[[Progress], None]


def fill_archive(archive: Archive, feature_set: FeatureSet, *, since: date = date.min, show: Show) -> int:
    """Write the vectors that archived payments on or after `since` lack; return how many. Again, it writes none.

    Raises:
        RefusedError: a file of the archive cannot be read. StoreUnavailableError: it cannot be written.
    """
    written = 0
    for fraction, rows in _periods(archive, feature_set, since, only_lacking=True):
        archive.write_backfilled(feature_set, rows)
        written += len(rows)
        show(Progress(fraction, written))
    return written


def write_file(archive: Archive, feature_set: FeatureSet, file: Path, *, since: date = date.min, show: Show) -> int:
    """Write the vectors of all archived payments on or after `since` into one Parquet file; return how many.

    The columns are the archive's. Raises RefusedError as `fill_archive`, and OSError when `file` cannot be written.
    """
    written = 0
    with tempfile.TemporaryDirectory(prefix=file.stem, suffix=".writing", dir=file.parent) as folder:
        parts = [Path(folder) / "none.parquet"]
        vector_table([], feature_set).write_parquet(parts[0])
        for fraction, rows in _periods(archive, feature_set, since, only_lacking=False):
            parts.append(Path(folder) / f"{len(parts)}.parquet")
            rows.write_parquet(parts[-1])
            written += len(rows)
            show(Progress(fraction, written))
        whole = Path(folder) / "whole"
        pl.scan_parquet(parts, hive_partitioning=False).sink_parquet(whole)
        whole.replace(file)
    return written


def _periods(
    archive: Archive, feature_set: FeatureSet, since: date, *, only_lacking: bool
) -> Iterator[tuple[float, pl.DataFrame]]:
    """Yield how much is done, and the rows to write, period by period."""
    dates = [day for day in archive.payment_dates() if day >= since]
    if not dates:
        return
    starts = range(0, (dates[-1] - dates[0]).days + 1, PERIOD_DAYS)
    for number, days in enumerate(starts, start=1):
        first = dates[0] + timedelta(days=days)
        last = first + timedelta(days=PERIOD_DAYS - 1)
        rows = archive.payment_rows(since=first, until=last)
        if only_lacking:
            there = archive.vectors(feature_set, ["transaction_event_id"], since=first, until=last)
            rows = rows.join(there, on="transaction_event_id", how="anti")
        if len(rows):
            yield number / len(starts), _recomputed(archive, feature_set, rows, first, last)


def _recomputed(archive: Archive, feature_set: FeatureSet, rows: pl.DataFrame, first: date, last: date) -> pl.DataFrame:
    """Return `rows`, of payments from `first` up to `last`, with their vectors of this feature set."""
    # A day more than whole days, since a window may reach into the evening before.
    reach = first - timedelta(days=feature_set.longest_horizon.days + 1)
    payments, labels = archive.payments(since=reach, until=last), archive.labels(since=reach)
    result = backfilled(feature_set, payments, labels, only=rows["transaction_event_id"])
    ordered = result.payments.select(transaction_event_id="event_id").join(
        rows, on="transaction_event_id", how="left", maintain_order="left"
    )
    renamed = ordered.with_columns(feature_set=pl.lit(feature_set.name), feature_version=pl.lit(feature_set.version))
    return with_features(renamed.select(VECTOR_COLUMNS), feature_set, result.values)
