"""The parity job: vectors as they were served, against the same vectors recomputed from the archive.

A difference means that the online state is not what the log says, or that one of the two ways computes wrongly.
"""

import logging
import threading
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from services.training.archive import Archive
from services.training.columns import feature_columns
from services.training.refusal import RefusedError
from shared.features.backfill import Backfilled, backfilled
from shared.features.definitions import Aggregation, Category, Feature, FeatureSet, Window
from shared.features.tiles import EXACT_PAYMENTS, LATENESS, TILE_SHARE
from shared.runtime import metrics
from shared.runtime.clock import Clock
from shared.runtime.logs import fields

log = logging.getLogger(__name__)

SETTLED_SECONDS = 60.0
"""A vector is checked once its payment is this old: by then what arrived before it has been archived too."""
RELATIVE_BOUND = 1e-9
_COUNTS = {
    Aggregation.COUNT,
    Aggregation.DISTINCT,
    Aggregation.FRAUD_COUNT,
    Aggregation.FRAUD_STREAK,
    Aggregation.OUTLIERS,
}
_BOUNDED = {Aggregation.COUNT, Aggregation.FRAUD_COUNT}
_MICROSECOND = timedelta(microseconds=1)


class Mismatch(NamedTuple):
    """One value that was served and comes out otherwise from the archive."""

    transaction_id: str
    feature: str
    served: float
    recomputed: float


def mismatches(
    feature_set: FeatureSet, served: pl.DataFrame, payments: pl.DataFrame, labels: pl.DataFrame
) -> list[Mismatch]:
    """Return every value of `served` that `payments` and `labels` do not bear out.

    served: rows of the archive, each payment once. payments, labels: everything in reach of them (see backfill).
    Counts must be equal and other values within RELATIVE_BOUND. Of an entity with more than EXACT_PAYMENTS in reach,
    plain counts must be within the bound that tiles states, and other windows are not compared. Nor are the windows of
    a payment that came later than LATENESS allows: parts of them may have been dropped.
    """
    result = backfilled(feature_set, payments, labels, only=served["transaction_event_id"])
    rows = result.payments.select(transaction_event_id="event_id").join(
        served, on="transaction_event_id", how="left", maintain_order="left"
    )
    values = rows.select(feature_columns(feature_set)).to_numpy()
    off = np.abs(values - result.values)
    differing = ~(off <= _allowed(feature_set, result))
    return [
        Mismatch(rows["transaction_id"][row], feature_set.feature_names[at], values[row, at], result.values[row, at])
        for row, at in np.argwhere(differing).tolist()
    ]


def _allowed(feature_set: FeatureSet, result: Backfilled) -> npt.NDArray[np.float64]:
    """Return by how much each value may be off, shape (rows, features); infinity where it is not compared."""
    allowed = np.empty_like(result.values)
    is_too_late = result.late_us > LATENESS // _MICROSECOND
    for at, feature in enumerate(feature_set.features):
        allowed[:, at] = 0.0 if _is_exact(feature) else RELATIVE_BOUND * np.maximum(1.0, np.abs(result.values[:, at]))
        if isinstance(feature, Window):
            in_reach = result.in_reach[:, feature_set.entities.index(feature.entities[0])]
            folded = in_reach * TILE_SHARE if _is_bounded(feature) else np.inf
            allowed[:, at] = np.where(in_reach > EXACT_PAYMENTS, folded, allowed[:, at])
            allowed[is_too_late, at] = np.inf
    return allowed


def _is_exact(feature: Feature) -> bool:
    if isinstance(feature, Window):
        return feature.aggregation in _COUNTS
    return isinstance(feature, Category)


def _is_bounded(window: Window) -> bool:
    return window.aggregation in _BOUNDED and window.where is None and len(window.entities) == 1


def histories(archive: Archive, feature_set: FeatureSet, sample: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the payments and labels in reach of `sample`: those of its cards, merchants, devices and users only."""
    reach = feature_set.longest_horizon + LATENESS
    since = (sample["occurred_at"].min() - reach).date()  # type: ignore[operator, union-attr]
    concerned = pl.any_horizontal(
        pl.col(name).is_in(sample[name].drop_nulls().unique().implode())
        for name in (f"{entity.value}_id" for entity in feature_set.entities)
    )
    payments = archive.payments(since=since, only=concerned)
    about = ["card_id", "transaction_id"]
    return payments, archive.labels(since=since).join(payments.select(about), on=about, how="semi")


class ParityJob:
    """A worker that checks a sample of the newest vectors, again and again."""

    name = "parity"

    def __init__(
        self, archive: Archive, feature_set: FeatureSet, clock: Clock, *, interval_seconds: float, sample: int
    ) -> None:
        """Wire the worker; sample: most vectors checked each time."""
        self._archive = archive
        self._feature_set = feature_set
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._sample = sample
        self._checked: dict[int, int] = {}

    def problem(self) -> str | None:
        """Parity is watched by its metrics; it keeps nobody from working."""
        return None

    def run(self, stop: threading.Event) -> None:
        while not stop.wait(self._interval_seconds):
            self.check()

    def check(self) -> list[Mismatch]:
        """Check the newest vectors that were not checked before; count, log and return what differs."""
        try:
            newest = self._newest()
            sample = newest.sort("produced_ms", descending=True).head(self._sample)
            if sample.is_empty():
                return []
            found = mismatches(self._feature_set, sample, *histories(self._archive, self._feature_set, sample))
        except RefusedError as refusal:
            log.warning("parity was not checked: %s", refusal, **fields(code=refusal.code))
            return []
        for partition, offset in newest.group_by("partition").agg(pl.max("offset")).iter_rows():
            self._checked[partition] = offset
        metrics.PARITY_CHECKED.inc(len(sample))
        for mismatch in found:
            metrics.PARITY_MISMATCHES.labels(mismatch.feature).inc()
        if found:
            log.error(
                "%d values differ from the archive, the first of them here", len(found), **fields(**found[0]._asdict())
            )
        return found

    def _newest(self) -> pl.DataFrame:
        settled_ms = int((self._clock.now().timestamp() - SETTLED_SECONDS) * 1000)
        newest = self._archive.newest_vectors(
            self._feature_set, count=self._sample, produced_until_ms=settled_ms, after=self._checked
        )
        # Where the state was lost, the vector says so itself.
        return newest.filter(~pl.col("degraded").list.contains("incomplete"))
