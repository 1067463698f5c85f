"""The training set, point in time: matured payments, with the labels known by now.

A payment is taken when it is at least the label delay old, and only then, whatever its label. Whether a payment is in
therefore never depends on what it turned out to be. To take frauds as soon as they are labelled, but not the unlabelled
payments beside them, would teach a fraud rate for recent days that never was. The price: a pattern is learnt one label
delay after it began, so set the delay to when most labels are there, not to when the last one is.
A payment that has matured without a label counts as genuine, until a label says otherwise; the latest label wins.
"""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from services.training.archive import Archive
from services.training.columns import feature_columns
from services.training.refusal import RefusedError
from services.training.settings import TrainingSettings
from shared.features.definitions import FeatureSet

UNLABELLED_ROWS_MAX = 20_000
"""More payments than these that have not matured, the newest, are not kept."""
PERIOD_DAYS = 10
"""Features read at once: the archive holds float64, and a longer period needs more memory beside the rows."""

_PLACE = ["partition", "offset"]
_KEYS = ["transaction_id", "card_id", "amount", "occurred_at", "degraded"]


class Reading(NamedTuple):
    """What reading the archive came across, in numbers of payments.

    repeated: matured payments that were sent again and are left out. degraded: vectors of matured payments that say
    they were served with something missing. labels: payments labelled by then, known to the archive or not;
    labels_matured, labels_immature: those of them in the training window, and those that are newer.
    """

    repeated: int = 0
    degraded: int = 0
    labels: int = 0
    labels_matured: int = 0
    labels_immature: int = 0


@dataclass(frozen=True)
class TrainingSet:
    """Payments in order of time.

    rows: shape (n, features), in the order of the feature set; may hold NaN. frauds: shape (n,), 1 for fraud.
    times: shape (n,), event time in microseconds. cards: shape (n,), a number for each card. amounts: shape (n,), in
    minor units. as_of: how far event time had come when this was read. unlabelled: shape (m, features), the newest
    payments that have neither matured nor got a label, in order of time.
    """

    feature_set: FeatureSet
    rows: npt.NDArray[np.float32]
    frauds: npt.NDArray[np.int8]
    times: npt.NDArray[np.int64]
    cards: npt.NDArray[np.int64]
    amounts: npt.NDArray[np.int64]
    as_of: datetime
    unlabelled: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), dtype=np.float32))
    reading: Reading = field(default_factory=Reading)

    def __post_init__(self) -> None:
        # None are as wide as the rows, so that the two can be stacked.
        if not len(self.unlabelled):
            object.__setattr__(self, "unlabelled", self.rows[:0])

    @property
    def digest(self) -> str:
        """SHA-256 over everything a model learns from."""
        sha = hashlib.sha256(f"{self.feature_set.version} {self.feature_set.categories}".encode())
        for part in (self.rows, self.frauds, self.times, self.cards, self.amounts, self.unlabelled):
            sha.update(f"{part.dtype} {part.shape}".encode())
            sha.update(np.ascontiguousarray(part).data)
        return sha.hexdigest()

    def part(self, taken: npt.NDArray[np.bool_]) -> "TrainingSet":
        """Return the payments where `taken`, without any unlabelled ones: these are newer than what a part is for."""
        return replace(
            self,
            rows=self.rows[taken],
            frauds=self.frauds[taken],
            times=self.times[taken],
            cards=self.cards[taken],
            amounts=self.amounts[taken],
            unlabelled=self.rows[:0],
        )


def read_training_set(archive: Archive, feature_set: FeatureSet, settings: TrainingSettings) -> TrainingSet:
    """Return what can be trained on now.

    Raises:
        RefusedError: no payments, too few of them, no labels, too few frauds, or an archive that cannot be read.
    """
    as_of = archive.newest_event_time(feature_set)
    if as_of is None:
        raise RefusedError(
            "no_payments",
            f"the archive holds no payments of feature version {feature_set.version[:12]}; "
            "send payments, or wait until the archive has caught up",
        )
    data = training_set(archive, feature_set, settings, as_of=as_of)
    _require_enough(data, settings)
    return data


def training_set(
    archive: Archive, feature_set: FeatureSet, settings: TrainingSettings, *, as_of: datetime
) -> TrainingSet:
    """Return the payments that had matured at `as_of`, with the labels known by then; raises RefusedError."""
    oldest, newest = _window(as_of, settings)
    is_matured = pl.col("occurred_at") <= newest
    payments = _vectors(archive, feature_set, _KEYS, oldest.date(), as_of.date()).filter(
        (pl.col("occurred_at") > oldest) & (pl.col("occurred_at") <= as_of)
    )
    known = _known(archive.labels(since=oldest.date()), as_of)
    once = payments.sort("occurred_at", *_PLACE).unique("transaction_id", keep="first")
    judged = once.join(known, on="transaction_id", how="left").sort("occurred_at", "transaction_id")
    matured = judged.filter(is_matured)
    unlabelled = judged.filter(~is_matured & pl.col("fraud").is_null()).tail(UNLABELLED_ROWS_MAX)
    rows = _rows(archive, feature_set, pl.concat([matured, unlabelled]))
    labels_matured = matured["fraud"].count()
    return TrainingSet(
        feature_set=feature_set,
        rows=rows[: len(matured)],
        frauds=matured["fraud"].fill_null(0).to_numpy(),
        times=matured["occurred_at"].dt.epoch("us").to_numpy(),
        cards=matured["card_id"].rank("dense").cast(pl.Int64).to_numpy(),
        amounts=matured["amount"].to_numpy(),
        as_of=as_of,
        unlabelled=rows[len(matured) :],
        reading=Reading(
            repeated=len(payments.filter(is_matured)) - len(matured),
            degraded=len(matured.filter(pl.col("degraded").list.len() > 0)),
            labels=len(known),
            labels_matured=labels_matured,
            labels_immature=judged["fraud"].count() - labels_matured,
        ),
    )


def _window(as_of: datetime, settings: TrainingSettings) -> tuple[datetime, datetime]:
    """Return the event times between which payments are taken: after the first, up to the second."""
    newest = as_of - timedelta(days=settings.headrace_training_label_delay_days)
    return newest - timedelta(days=settings.headrace_training_window_days), newest


def _known(labels: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Return the latest verdict on each labelled payment: its transaction id, and whether it is fraud."""
    return (
        labels.filter(pl.col("occurred_at") <= as_of)
        .sort("occurred_at", *_PLACE)
        .unique("transaction_id", keep="last")
        .select("transaction_id", fraud=(pl.col("label") == "fraud").cast(pl.Int8))
    )


def _vectors(archive: Archive, feature_set: FeatureSet, columns: list[str], since: date, until: date) -> pl.DataFrame:
    try:
        return archive.vectors(feature_set, columns, since=since, until=until)
    except pl.exceptions.PolarsError as error:
        raise RefusedError(
            "mixed_columns",
            f"the files of vectors from {since} to {until} do not all have the same columns: {error}; "
            "restore the file that differs or move it away",
        ) from error


def _rows(archive: Archive, feature_set: FeatureSet, payments: pl.DataFrame) -> npt.NDArray[np.float32]:
    """Return the features of `payments`, which are in order of time; shape (payments, features)."""
    names = feature_columns(feature_set)
    rows = np.empty((len(payments), len(names)), dtype=np.float32)
    days = payments["occurred_at"].dt.date()
    begin = 0
    while begin < len(rows):
        since = days[begin]
        until = since + timedelta(days=PERIOD_DAYS - 1)
        end = int(days.search_sorted(until, side="right"))
        vectors = _vectors(archive, feature_set, names, since, until)
        found = payments[begin:end].join(vectors, on=_PLACE, how="left", maintain_order="left")
        _require_numbers(found, names)
        rows[begin:end] = found.select(pl.col(names).cast(pl.Float32)).to_numpy()
        begin = end
    return rows


def _require_numbers(found: pl.DataFrame, names: list[str]) -> None:
    """Refuse columns that are no numbers, and values that are not there (NaN is)."""
    for name in names:
        if found.schema[name] != pl.Float64:
            raise RefusedError(
                "wrong_type",
                f"column {name} is archived as {found.schema[name]} from {found['occurred_at'][0]:%Y-%m-%d} on, "
                "and should be Float64; restore these files or move them away",
            )
        if found[name].null_count():
            lacking = found.filter(pl.col(name).is_null()).row(0, named=True)
            raise RefusedError(
                "null_values",
                f"column {name} has no value for {found[name].null_count()} payments, the first of them "
                f"{lacking['transaction_id']} in date={lacking['occurred_at']:%Y-%m-%d}, partition "
                f"{lacking['partition']}, offset {lacking['offset']}; restore that file or move it away",
            )


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
    if frauds >= settings.headrace_training_frauds_min:
        return
    if not data.reading.labels_matured:
        raise _no_labels(data.reading, f"the {rows} payments {where}")
    if not frauds:
        raise RefusedError(
            "too_few_frauds",
            f"{data.reading.labels_matured} of {rows} payments {where} are labelled, and every one is labelled "
            "genuine; check that whoever sends the labels sends frauds too",
        )
    raise RefusedError(
        "too_few_frauds",
        f"{frauds} of {rows} payments {where} are labelled fraud, {settings.headrace_training_frauds_min} are "
        "needed; send labels, or lower HEADRACE_TRAINING_FRAUDS_MIN",
    )


def _no_labels(reading: Reading, payments: str) -> RefusedError:
    """Tell why none of the matured payments has a label."""
    if not reading.labels:
        return RefusedError("no_labels", f"no label at all is archived for {payments}; send labels")
    if reading.labels_immature:
        return RefusedError(
            "labels_late",
            f"none of {payments} is labelled, although labels came for {reading.labels_immature} newer payments, which "
            "have not matured; wait, or shorten HEADRACE_TRAINING_LABEL_DELAY_DAYS if these labels are final",
        )
    return RefusedError(
        "labels_unmatched",
        f"none of the {reading.labels} labelled transactions is among {payments}; check that labels carry the "
        "transaction ids that the payments were sent with",
    )
