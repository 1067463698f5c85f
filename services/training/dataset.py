"""The training set, point in time: matured payments, with the labels known by now.

A payment is taken when it is at least the label delay old, and only then, whatever its label. Whether a payment is in
therefore never depends on what it turned out to be. To take frauds as soon as they are labelled, but not the unlabelled
payments beside them, would teach a fraud rate for recent days that never was. The price: a pattern is learnt one label
delay after it began, so set the delay to when most labels are there, not to when the last one is.
A payment that has matured without a label counts as genuine, until a label says otherwise; the latest label wins.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from services.training.archive import Archive
from services.training.columns import feature_columns
from services.training.refusal import RefusedError
from services.training.settings import TrainingSettings
from shared.features.definitions import FeatureSet


@dataclass(frozen=True)
class TrainingSet:
    """Payments in order of time.

    rows: shape (n, features), in the order of the feature set. frauds: shape (n,), 1 for fraud.
    times: shape (n,), event time in microseconds. as_of: how far event time had come when this was read.
    """

    feature_set: FeatureSet
    rows: npt.NDArray[np.float32]
    frauds: npt.NDArray[np.int8]
    times: npt.NDArray[np.int64]
    as_of: datetime

    @property
    def digest(self) -> str:
        """SHA-256 over everything a model learns from."""
        sha = hashlib.sha256(self.feature_set.version.encode())
        for part in (self.rows, self.frauds, self.times):
            sha.update(np.ascontiguousarray(part).tobytes())
        return sha.hexdigest()

    def part(self, taken: npt.NDArray[np.bool_]) -> "TrainingSet":
        """Return the payments where `taken`."""
        return TrainingSet(self.feature_set, self.rows[taken], self.frauds[taken], self.times[taken], self.as_of)


def read_training_set(archive: Archive, feature_set: FeatureSet, settings: TrainingSettings) -> TrainingSet:
    """Return what can be trained on now.

    Raises:
        RefusedError: no payments, too few of them, too few frauds, or an archive that cannot be read.
    """
    as_of = archive.newest_event_time(feature_set)
    if as_of is None:
        raise RefusedError(
            "no_payments",
            f"the archive holds no payments of feature version {feature_set.version[:12]}; "
            "send payments, or wait until the archive has caught up",
        )
    since = _window(as_of, settings)[0].date()
    columns = ["transaction_id", "occurred_at", *feature_columns(feature_set)]
    vectors, labels = archive.vectors(feature_set, columns, since=since), archive.labels(since=since)
    data = training_set(vectors, labels, feature_set, settings, as_of=as_of)
    _require_enough(data, settings)
    return data


def training_set(
    vectors: pl.DataFrame,
    labels: pl.DataFrame,
    feature_set: FeatureSet,
    settings: TrainingSettings,
    *,
    as_of: datetime,
) -> TrainingSet:
    """Return the payments that had matured at `as_of`, with the labels known by then."""
    oldest, newest = _window(as_of, settings)
    order = ["occurred_at", "partition", "offset"]
    known = (
        labels.filter(pl.col("occurred_at") <= as_of)
        .sort(order)
        .unique("transaction_id", keep="last")
        .select("transaction_id", fraud=(pl.col("label") == "fraud").cast(pl.Int8))
    )
    matured = (
        vectors.filter((pl.col("occurred_at") > oldest) & (pl.col("occurred_at") <= newest))
        .sort(order)
        .unique("transaction_id", keep="first")
        .join(known, on="transaction_id", how="left")
        .sort("occurred_at", "transaction_id")
    )
    return TrainingSet(
        feature_set=feature_set,
        rows=np.ascontiguousarray(matured.select(feature_columns(feature_set)).to_numpy(), dtype=np.float32),
        frauds=matured["fraud"].fill_null(0).to_numpy(),
        times=matured["occurred_at"].dt.epoch("us").to_numpy(),
        as_of=as_of,
    )


def _window(as_of: datetime, settings: TrainingSettings) -> tuple[datetime, datetime]:
    """Return the event times between which payments are taken: after the first, up to the second."""
    newest = as_of - timedelta(days=settings.headrace_training_label_delay_days)
    return newest - timedelta(days=settings.headrace_training_window_days), newest


def _require_enough(data: TrainingSet, settings: TrainingSettings) -> None:
    rows, frauds = len(data.frauds), int(data.frauds.sum())
    oldest, newest = _window(data.as_of, settings)
    where = f"between {oldest:%Y-%m-%d %H:%M} and {newest:%Y-%m-%d %H:%M} UTC (event time)"
    if rows < settings.headrace_training_rows_min:
        raise RefusedError(
            "too_few_rows",
            f"{rows} payments {where}, {settings.headrace_training_rows_min} are needed; wait for more, shorten "
            "HEADRACE_TRAINING_LABEL_DELAY_DAYS, or lower HEADRACE_TRAINING_ROWS_MIN",
        )
    if frauds < settings.headrace_training_frauds_min:
        raise RefusedError(
            "too_few_frauds",
            f"{frauds} of {rows} payments {where} are labelled fraud, {settings.headrace_training_frauds_min} are "
            "needed; send labels, or lower HEADRACE_TRAINING_FRAUDS_MIN",
        )
