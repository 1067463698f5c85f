"""The offline archive: what travelled on the topics that columns.py lists, as Parquet for ever.

    <root>/features/version=<12 digits>/date=2026-01-31/<partition>-<first offset>-<last offset>.parquet
    <root>/<any other topic>/date=…/…

The date is the event's own, in UTC. A feature version has a folder of its own, so that every file in it has the same
columns; vectors of a version that this process does not know keep their values as one list, below `features-unknown`.
Vectors that were not served but computed afterwards (see backfill) stand in files whose names begin with `backfilled-`;
their place is that of the vector which the payment was archived with. Where both exist, readers take the served one.
"""

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from services.training.archive_files import disk_told, write_durably
from services.training.columns import VECTOR_COLUMNS, table, vector_table
from services.training.refusal import RefusedError
from shared.contracts.events import FeatureVector
from shared.contracts.topics import FEATURES, LABELS, SCORES, SHADOWS, Topic
from shared.features.backfill import LABEL_COLUMNS, PAYMENT_COLUMNS
from shared.features.definitions import FeatureSet
from shared.runtime.loop import Delivery

_DATE = "date="
_VERSION_DIGITS = 12
_UNKNOWN = "features-unknown"
_BACKFILLED = "backfilled-"
_PLACE = ["partition", "offset"]


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
        with disk_told():
            for (folder, partition), group in groups.items():
                group.sort(key=lambda delivery: delivery.record.offset)
                first, last = group[0].record.offset, group[-1].record.offset
                write_durably(folder / f"{partition}-{first:012}-{last:012}.parquet", self._frame(group))

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

    def vectors(
        self, feature_set: FeatureSet, columns: Sequence[str], *, since: date, until: date = date.max
    ) -> pl.DataFrame:
        """Return the vectors of payments from `since` to `until`, each once; raises RefusedError, naming the file."""
        files = self._files(self._vectors(feature_set), since, until)
        if not files:
            return vector_table([], feature_set).select(*columns, *_PLACE)
        return _once(self._read(files, [*columns, *_PLACE]))

    def newest_vectors(
        self, feature_set: FeatureSet, *, count: int, produced_until_ms: int, after: Mapping[int, int]
    ) -> pl.DataFrame:
        """Return vectors as they were served, the newest `count` or more of each partition; raises RefusedError.

        produced_until_ms: none of a payment that the log took in later. after: partition → offset; none at or before.
        """
        served = [file for file in self._files(self._vectors(feature_set)) if not file.name.startswith(_BACKFILLED)]
        found = [vector_table([], feature_set)]
        lacking: dict[int, int] = defaultdict(lambda: count)
        for file in sorted(served, key=lambda file: file.stat().st_mtime_ns, reverse=True):
            partition, last_offset = _last_place(file)
            read_until = after.get(partition, -1)
            if last_offset <= read_until or lacking[partition] <= 0:
                continue
            is_wanted = (pl.col("offset") > read_until) & (pl.col("produced_ms") <= produced_until_ms)
            found.append(self._read([file], found[0].columns, is_wanted))
            lacking[partition] -= len(found[-1])
        return _once(pl.concat(found))

    def payments(self, *, since: date, until: date = date.max, only: pl.Expr | None = None) -> pl.DataFrame:
        """Return the payments from `since` up to and with `until`, of every feature version, each event once.

        Their columns are PAYMENT_COLUMNS; only: which rows of these to return. Raises RefusedError.
        """
        columns: list[str | pl.Expr] = [pl.col("transaction_event_id").alias("event_id"), *PAYMENT_COLUMNS[1:]]
        return self._payments(columns, "event_id", since=since, until=until, only=only)

    def payment_rows(self, *, since: date, until: date) -> pl.DataFrame:
        """Return the same payments with VECTOR_COLUMNS, of which `transaction_event_id` tells them apart."""
        return self._payments(VECTOR_COLUMNS, "transaction_event_id", since=since, until=until, only=None)

    def payment_dates(self) -> list[date]:
        """Return the dates on which payments are archived, of whatever feature version, in order."""
        return sorted({_date(file) for folder in self._all_vectors() for file in self._files(folder)})

    def labels(self, *, since: date) -> pl.DataFrame:
        """Return LABEL_COLUMNS of the labels that became known on or after `since`, each once; raises RefusedError."""
        return self.rows(LABELS, LABEL_COLUMNS, since=since)

    def shadows(self, challenger: int) -> pl.DataFrame:
        """Return what a challenger said of payments, each row once; raises RefusedError."""
        columns = table(SHADOWS.name, []).columns
        return self.rows(SHADOWS, columns, only=pl.col("challenger_version") == challenger)

    def rows(
        self,
        topic: Topic,
        columns: Sequence[str],
        *,
        since: date = date.min,
        until: date = date.max,
        only: pl.Expr | None = None,
    ) -> pl.DataFrame:
        """Return what is archived of a topic other than `features`, each record once, with its place.

        since, until: dates of the events, both included. only: which rows, told by `columns`. Raises RefusedError.
        """
        wanted = list(dict.fromkeys([*columns, *_PLACE]))
        files = self._files(self._root / topic.name, since, until)
        return _once(self._read(files, wanted, only)) if files else table(topic.name, []).select(wanted)

    def newest_rows(
        self, topic: Topic, columns: Sequence[str], *, count: int, written_since: datetime, only: pl.Expr
    ) -> pl.DataFrame:
        """Return rows of a topic other than `features` with their places, the newest `count` or more; RefusedError.

        written_since: files that were written earlier are not read. only: which rows, told by `columns`.
        """
        wanted = list(dict.fromkeys([*columns, *_PLACE]))
        written = [(file.stat().st_mtime, file) for file in self._files(self._root / topic.name)]
        found, lacking = [table(topic.name, []).select(wanted)], count
        for at, file in sorted(written, reverse=True):
            if lacking <= 0 or at < written_since.timestamp():
                break
            found.append(self._read([file], wanted, only))
            lacking -= len(found[-1])
        return _once(pl.concat(found))

    def row_count(self, topic: Topic) -> int:
        """Return how many rows of a topic other than `features` are archived, repeated ones too, without reading them.

        Raises:
            RefusedError: a file cannot be read.
        """
        files = self._files(self._root / topic.name)
        return int(self._read(files, [pl.len()]).item()) if files else 0

    def dates(self, topic: Topic) -> list[date]:
        """Return the dates of which rows of a topic other than `features` are archived, in order."""
        return sorted({_date(file) for file in self._files(self._root / topic.name)})

    def decisions(
        self, columns: Sequence[str], *, since: date = date.min, until: date = date.max, only: pl.Expr | None = None
    ) -> pl.DataFrame:
        """Return decisions on payments from `since` to `until`; null where a file lacks a column. Raises RefusedError.

        only: which rows, told by `columns`. What was delivered twice may stand twice.
        """
        frames = [table(SCORES.name, []).select(columns)]
        for file in self._files(self._root / SCORES.name, since, until):
            with _file_told(file):
                there = pl.read_parquet_schema(file)
            frames.append(self._read([file], [name for name in columns if name in there], only))
        return pl.concat(frames, how="diagonal")

    def write_backfilled(self, feature_set: FeatureSet, rows: pl.DataFrame) -> None:
        """Keep vectors that were computed afterwards, with the columns of served ones.

        Raises:
            StoreUnavailableError: as `write`.
        """
        keys = [pl.col("occurred_at").dt.date().alias("date"), "partition"]
        with disk_told():
            for (day, partition), group in rows.sort("offset").group_by(keys):
                first, last = group["offset"][0], group["offset"][-1]
                folder = self._vectors(feature_set) / f"{_DATE}{day}"
                write_durably(folder / f"{_BACKFILLED}{partition}-{first:012}-{last:012}.parquet", group)

    def _payments(
        self, columns: Sequence[str | pl.Expr], key: str, *, since: date, until: date, only: pl.Expr | None
    ) -> pl.DataFrame:
        found = [vector_table([], None).select(columns)]
        for folder in self._all_vectors():
            files = self._files(folder, since, until)
            if files:
                found.append(self._read(files, columns, only))
        return pl.concat(found).sort("produced_ms", *_PLACE).unique(key, keep="first", maintain_order=True)

    def _all_vectors(self) -> list[Path]:
        return [folder for name in (FEATURES.name, _UNKNOWN) for folder in (self._root / name).glob("version=*")]

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

    def _files(self, folder: Path, since: date = date.min, until: date = date.max) -> list[Path]:
        return sorted(file for file in folder.glob(f"{_DATE}*/*.parquet") if since <= _date(file) <= until)

    def _read(self, files: list[Path], columns: Sequence[str | pl.Expr], only: pl.Expr | None = None) -> pl.DataFrame:
        try:
            rows = pl.scan_parquet(files, hive_partitioning=False).select(columns)
            return (rows if only is None else rows.filter(only)).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            # One by one, since the joint reader does not tell which file it stumbled on.
            for refusal in _problems(files, columns):
                raise refusal from error
            raise


@contextlib.contextmanager
def _file_told(file: Path) -> Iterator[None]:
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as error:
        raise RefusedError("unreadable_archive", f"{file}: {error}; restore the file or move it away") from error


def _problems(files: Sequence[Path], columns: Sequence[str | pl.Expr]) -> Iterator[RefusedError]:
    for file in files:
        try:
            pl.scan_parquet(file, hive_partitioning=False).select(columns).collect()
        except pl.exceptions.ColumnNotFoundError as error:
            yield RefusedError("missing_column", f"{file} lacks a column: {error}; restore the file or move it away")
        except (pl.exceptions.PolarsError, OSError) as error:
            yield RefusedError("unreadable_archive", f"{file}: {error}; restore the file or move it away")


def _once(frame: pl.DataFrame) -> pl.DataFrame:
    """Return each row once; files are read in order of their names, so a served vector goes before a backfilled one."""
    return frame.unique(_PLACE, keep="first", maintain_order=True)


def _date(file: Path) -> date:
    return date.fromisoformat(file.parent.name.removeprefix(_DATE))


def _last_place(file: Path) -> tuple[int, int]:
    """Return the partition and the last offset that stand in the name of a file of served vectors."""
    partition, _, last = file.stem.split("-")
    return int(partition), int(last)
