"""How a challenger does beside the versions that decided, on the same payments."""

from datetime import datetime, timedelta
from typing import NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from services.training.archive import Archive
from services.training.evaluation.ranking import ranking
from services.training.gates.promotion import PairedTest, paired_test
from services.training.refusal import RefusedError
from services.training.settings import TrainingSettings
from shared.contracts.events import Verdict
from shared.features.definitions import FeatureSet

VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


class Ranked(NamedTuple):
    """How well scores rank frauds; NaN where the payments are all genuine or all fraud."""

    average_precision: float
    auc_roc: float


class Matured(NamedTuple):
    """What labels say of the paired payments that are old enough.

    test: whether the challenger is better.
    """

    payments: int
    frauds: int
    decided: Ranked
    challenger: Ranked
    test: PairedTest


class ShadowReport(NamedTuple):
    """A challenger beside what was decided.

    payments: that it was shown. versions: which decided on them. first, last: event times. verdicts: shape (3, 3), how
    many were decided as VERDICTS[row] and would have been as VERDICTS[column]. paired: payments that both have scored.
    mean_difference: the challenger's score less the other, over these; NaN when there are none.
    """

    payments: int
    versions: tuple[int, ...]
    first: datetime
    last: datetime
    verdicts: npt.NDArray[np.int64]
    paired: int
    mean_difference: float
    matured: Matured

    @property
    def agreement(self) -> float:
        """The share of payments on which the verdicts are the same."""
        return float(np.trace(self.verdicts) / self.verdicts.sum())


def read_shadow_report(
    archive: Archive, feature_set: FeatureSet, challenger: int, settings: TrainingSettings
) -> ShadowReport:
    """Return how a challenger compares on all that is archived; raises RefusedError, as `shadow_report`."""
    shadows = archive.shadows(challenger)
    if shadows.is_empty():
        raise RefusedError(
            "no_shadows",
            f"no payment is archived that version {challenger} scored as a challenger; begin with `headrace models "
            "shadow`, and wait until payments have come",
        )
    newest = archive.newest_event_time(feature_set)
    first, last = _ends(shadows)
    return shadow_report(
        shadows,
        archive.labels(since=first.date()),
        as_of=last if newest is None else max(last, newest),
        label_delay=timedelta(days=settings.headrace_training_label_delay_days),
        error_rate=settings.headrace_training_error_rate,
    )


def shadow_report(
    shadows: pl.DataFrame, labels: pl.DataFrame, *, as_of: datetime, label_delay: timedelta, error_rate: float
) -> ShadowReport:
    """Return how a challenger compares.

    shadows: its rows of the archive, one at least. labels: those of the archive. as_of: how far event time has come; a
    payment has matured `label_delay` before, and is genuine then unless its latest label says fraud.
    """
    once = shadows.unique("event_id", keep="first", maintain_order=True)
    first, last = _ends(once)
    paired = once.drop_nulls(["score", "challenger_score"])
    difference = (paired["challenger_score"] - paired["score"]).to_numpy()
    return ShadowReport(
        payments=len(once),
        versions=tuple(once["model_version"].unique().sort()),
        first=first,
        last=last,
        verdicts=_verdicts(once),
        paired=len(paired),
        mean_difference=float(difference.mean()) if len(difference) else float("nan"),
        matured=_matured(paired.filter(pl.col("occurred_at") <= as_of - label_delay), labels, as_of, error_rate),
    )


def _ends(shadows: pl.DataFrame) -> tuple[datetime, datetime]:
    """Return the first and the last event time."""
    ordered = shadows["occurred_at"].sort()
    return ordered[0], ordered[-1]


def _verdicts(shadows: pl.DataFrame) -> npt.NDArray[np.int64]:
    counts = np.zeros((len(VERDICTS), len(VERDICTS)), dtype=np.int64)
    for decided, challenger, count in shadows.group_by("decision", "challenger_decision").len().iter_rows():
        counts[VERDICTS.index(decided), VERDICTS.index(challenger)] = count
    return counts


def _matured(paired: pl.DataFrame, labels: pl.DataFrame, as_of: datetime, error_rate: float) -> Matured:
    judged = labelled(paired, labels, as_of)
    frauds, cards = judged["fraud"].to_numpy(), judged["card"].to_numpy()
    decided, challenger = (judged[name].to_numpy().astype(np.float32) for name in ("score", "challenger_score"))
    return Matured(
        payments=len(judged),
        frauds=int(frauds.sum()),
        decided=_ranked(decided, frauds),
        challenger=_ranked(challenger, frauds),
        test=paired_test(decided, challenger, frauds, cards, error_rate=error_rate),
    )


def labelled(shadows: pl.DataFrame, labels: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Return `shadows` with `fraud`, 1 where the latest label by `as_of` says so and else 0, and `card`, a number."""
    latest = (
        labels.filter(pl.col("occurred_at") <= as_of)
        .sort("occurred_at", "partition", "offset")
        .unique(["transaction_id", "card_id"], keep="last")
        .select("transaction_id", "card_id", "label")
    )
    joined = shadows.join(latest, on=["transaction_id", "card_id"], how="left", maintain_order="left")
    return joined.with_columns(
        fraud=(pl.col("label") == "fraud").fill_null(value=False).cast(pl.Int8),
        card=pl.col("card_id").rank("dense").cast(pl.Int64),
    )


def _ranked(scores: npt.NDArray[np.float32], frauds: npt.NDArray[np.int8]) -> Ranked:
    if not 0 < int(frauds.sum()) < len(frauds):
        return Ranked(float("nan"), float("nan"))
    measured = ranking(scores, frauds, np.zeros(len(scores), dtype=np.int64))
    return Ranked(*measured(np.ones(1, dtype=np.int64)))
