"""Payments of the past as they were decided, with what they turned out to be: what a policy is tried on."""

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from services.training.archive import Archive
from services.training.columns import VECTOR_COLUMNS, feature_columns, vector_of
from services.training.evaluation.scored import Scored
from services.training.refusal import RefusedError
from shared.contracts.events import FeatureVector
from shared.features.definitions import FeatureSet

_DECISION_COLUMNS = ["transaction_id", "card_id", "decision", "score", "model_version", "lists"]
_PLACE = ["partition", "offset"]
_PAYMENT = ["transaction_id", "card_id"]
_PAYMENT_COLUMNS = [*_PAYMENT, "amount", "transaction_occurred_at"]
_DAY = timedelta(days=1)


class Period(NamedTuple):
    """Whole days (UTC), the last one included."""

    since: date
    until: date

    @property
    def days(self) -> list[date]:
        """Every day of it, in order."""
        return [self.since + at * _DAY for at in range((self.until - self.since).days + 1)]


class JudgedPayments:
    """Reads an archive: decided payments, each joined with its vector and its label.

    A payment without a label counts as genuine; the latest label wins. What was decided without a vector of this
    feature set, or stands twice, is left out.
    """

    def __init__(self, home: Path, feature_set: FeatureSet) -> None:
        """Read the archive below `home`."""
        self._root = home / "archive"
        self._feature_set = feature_set
        self._archive = Archive(self._root, [feature_set])

    def matured(self, *, days: int, label_delay: timedelta) -> Period:
        """Return the newest `days` of which every payment is at least `label_delay` old.

        Raises:
            RefusedError: no payment is that old, or the archive cannot be read.
        """
        dates = self._archive.payment_dates()
        newest = self._archive.newest_event_time(self._feature_set)
        until = date.min if newest is None else (newest - label_delay - _DAY).date()
        if not dates or until < dates[0]:
            raise RefusedError(
                "no_matured_payments",
                f"no whole day of archived payments is older than {label_delay / _DAY:g} days, when labels are there; "
                "wait, or shorten HEADRACE_TRAINING_LABEL_DELAY_DAYS if labels come sooner",
            )
        return Period(max(dates[0], until - (days - 1) * _DAY), until)

    def scored(self, period: Period, *, model_version: int) -> Scored:
        """Return the payments that a version scored, in order of time; raises RefusedError."""
        frauds = self._frauds(period)
        frames = [self._joined(day, frauds, _PAYMENT_COLUMNS) for day in period.days]
        rows = pl.concat(frames).filter(pl.col("score").is_not_null(), pl.col("model_version") == model_version)
        if rows.is_empty():
            raise RefusedError(
                "no_scores",
                f"version {model_version} scored no payment from {period.since} to {period.until} whose label is "
                "known by now; wait, or give `review` and `decline` as numbers",
            )
        return Scored(
            frauds=rows["is_fraud"].cast(pl.Int8).to_numpy(),
            scores=rows["score"].cast(pl.Float32).to_numpy(),
            cards=rows["card_id"].rank("dense").cast(pl.Int64).to_numpy(),
            times=rows["transaction_occurred_at"].dt.epoch("us").to_numpy(),
            amounts=rows["amount"].to_numpy(),
        )

    def by_day(self, period: Period) -> Iterator[list[tuple[FeatureVector, dict[str, Any]]]]:
        """Yield the payments of each day in order of time; raises RefusedError.

        With each vector: decision, score, model_version, lists and is_fraud.
        """
        frauds, names = self._frauds(period), feature_columns(self._feature_set)
        for day in period.days:
            rows = self._joined(day, frauds, [*(name for name in VECTOR_COLUMNS if name not in _PLACE), *names])
            values = rows.select(names).to_numpy().astype(np.float64).tolist()
            rest = rows.drop(names).iter_rows(named=True)
            yield [(vector_of(row, of_row), row) for row, of_row in zip(rest, values, strict=True)]

    def _joined(self, day: date, frauds: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
        vectors = self._archive.vectors(self._feature_set, columns, since=day, until=day)
        once = vectors.sort(_PLACE).unique(_PAYMENT, keep="first", maintain_order=True)
        decisions = self._archive.decisions(_DECISION_COLUMNS, since=day, until=day).unique(
            _PAYMENT, keep="first", maintain_order=True
        )
        return (
            once.join(decisions, on=_PAYMENT, how="inner")
            .join(frauds, on="transaction_id", how="left")
            .with_columns(pl.col("is_fraud").fill_null(value=False), pl.col("lists").fill_null([]))
            .sort("transaction_occurred_at", "transaction_id")
        )

    def _frauds(self, period: Period) -> pl.DataFrame:
        latest = (
            self._archive.labels(since=period.since).sort("occurred_at", *_PLACE).unique("transaction_id", keep="last")
        )
        return latest.select("transaction_id", is_fraud=pl.col("label") == "fraud")
