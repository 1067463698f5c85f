"""The offline archive: what travelled on `features`, `scores` and `labels`, as Parquet for ever.

    <root>/features/version=<12 digits>/date=2026-01-31/<partition>-<first offset>-<last offset>.parquet
    <root>/scores/date=…/…    <root>/labels/date=…/…

The date is the event's own, in UTC. A feature version has a folder of its own, so that every file in it has the same
columns; vectors of a version that this process does not know keep their values as one list, below `features-unknown`.
"""

import io
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from services.training.columns import table, vector_table
from services.training.refusal import RefusedError
from shared.contracts.events import FeatureVector
from shared.contracts.topics import FEATURES, LABELS
from shared.features.definitions import FeatureSet
from shared.runtime.loop import Delivery
from shared.store.base import StoreUnavailableError

_DATE = "date="
_VERSION_DIGITS = 12
_UNKNOWN = "features-unknown"


class Archive:
    """Writes and reads the archive below one folder."""

    def __init__(self, root: Path, feature_sets: Iterable[FeatureSet]) -> None:
        """Remember the folder and the feature sets whose vectors get a column a feature."""
        self._root = root
        self._feature_sets = {feature_set.version: feature_set for feature_set in feature_sets}

    def write(self, deliveries: Sequence[Delivery]) -> None:
        """Keep a batch; when this returns, it survives a power cut.

        Writing a batch again, cut the same way or another, adds no row that a reader counts twice.

        Raises:
            StoreUnavailableError: the disk is full or not writable; nothing is lost as long as nothing is committed.
        """
        groups: dict[tuple[Path, int], list[Delivery]] = defaultdict(list)
        for delivery in deliveries:
            groups[self._folder(delivery), delivery.record.partition].append(delivery)
        try:
            for (folder, partition), group in groups.items():
                group.sort(key=lambda delivery: delivery.record.offset)
                first, last = group[0].record.offset, group[-1].record.offset
                _write(folder / f"{partition}-{first:012}-{last:012}.parquet", self._frame(group))
        except OSError as error:
            raise StoreUnavailableError(f"the archive cannot be written, free or mend the disk: {error}") from error

    def newest_event_time(self, feature_set: FeatureSet) -> datetime | None:
        """Return how far event time has come: the newest payment or label; None when there is no payment.

        Raises:
            RefusedError: a file cannot be read.
        """
        payments = self._files(self._vectors(feature_set))
        if not payments:
            return None
        newest = [max(files) for files in (payments, self._files(self._root / LABELS.name)) if files]
        times = [self._read(self._files(at.parent.parent, since=_date(at)), ["occurred_at"]) for at in newest]
        latest = pl.concat(times)["occurred_at"].max()
        return latest if isinstance(latest, datetime) else None

    def vectors(self, feature_set: FeatureSet, columns: Sequence[str], *, since: date) -> pl.DataFrame:
        """Return the vectors of payments on or after `since`, each once; raises RefusedError, naming the file."""
        return _once(self._read(self._files(self._vectors(feature_set), since), [*columns, "partition", "offset"]))

    def labels(self, *, since: date) -> pl.DataFrame:
        """Return the labels that became known on or after `since`, each once; raises RefusedError."""
        columns = ["transaction_id", "occurred_at", "label", "partition", "offset"]
        files = self._files(self._root / LABELS.name, since)
        if not files:
            return table(LABELS.name, []).select(columns)
        return _once(self._read(files, columns))

    def _folder(self, delivery: Delivery) -> Path:
        event = delivery.event
        dated = f"{_DATE}{event.occurred_at.astimezone(UTC).date().isoformat()}"
        if not isinstance(event, FeatureVector):
            return self._root / delivery.record.topic / dated
        known = self._feature_set(event)
        if known:
            return self._vectors(known) / dated
        return self._root / _UNKNOWN / f"version={event.feature_version[:_VERSION_DIGITS]}" / dated

    def _vectors(self, feature_set: FeatureSet) -> Path:
        return self._root / FEATURES.name / f"version={feature_set.version[:_VERSION_DIGITS]}"

    def _feature_set(self, vector: FeatureVector) -> FeatureSet | None:
        """Return the set whose columns this vector fills; None also when it has more or fewer values than it says."""
        known = self._feature_sets.get(vector.feature_version)
        return known if known and len(known.features) == len(vector.values) else None

    def _frame(self, group: Sequence[Delivery]) -> pl.DataFrame:
        event = group[0].event
        if isinstance(event, FeatureVector):
            return vector_table(group, self._feature_set(event))
        return table(group[0].record.topic, group)

    def _files(self, folder: Path, since: date | None = None) -> list[Path]:
        files = folder.glob(f"{_DATE}*/*.parquet")
        return sorted(file for file in files if since is None or _date(file) >= since)

    def _read(self, files: list[Path], columns: Sequence[str]) -> pl.DataFrame:
        try:
            return pl.scan_parquet(files, hive_partitioning=False).select(columns).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            # One by one, since the joint reader does not tell which file it stumbled on.
            for refusal in _problems(files, columns):
                raise refusal from error
            raise


def _problems(files: Sequence[Path], columns: Sequence[str]) -> Iterator[RefusedError]:
    for file in files:
        try:
            pl.scan_parquet(file, hive_partitioning=False).select(columns).collect()
        except pl.exceptions.ColumnNotFoundError as error:
            yield RefusedError("missing_column", f"{file} lacks a column: {error}; restore the file or move it away")
        except (pl.exceptions.PolarsError, OSError) as error:
            yield RefusedError("unreadable_archive", f"{file}: {error}; restore the file or move it away")


def _once(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.unique(["partition", "offset"], keep="any")


def _date(file: Path) -> date:
    return date.fromisoformat(file.parent.name.removeprefix(_DATE))


def _write(path: Path, frame: pl.DataFrame) -> None:
    """Write aside, sync, rename: a reader sees the whole file or none."""
    content = io.BytesIO()
    frame.write_parquet(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, aside = tempfile.mkstemp(prefix=path.stem, suffix=".writing", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        Path(aside).chmod(0o644)
        Path(aside).replace(path)
    except OSError:
        Path(aside).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
