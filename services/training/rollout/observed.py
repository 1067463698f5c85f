"""What the archive holds of a stage: both versions' verdicts and scores, and the labels that have come."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl

from services.training.archive import Archive
from services.training.rollout.comparison import Hits, Seen, Side, harm_test
from services.training.rollout.stages import Stage
from services.training.settings import TrainingSettings
from services.training.shadows import labelled
from shared.contracts.events import ModelEvent
from shared.contracts.topics import SCORES, SHADOWS
from shared.features.definitions import FeatureSet

_RATED, _WIDER = 20_000, 4
"""Rates are taken over so many payments, or over so many times those that a stage needs."""
_CLOCKS_APART = timedelta(hours=1)
"""The clock of the disk may be behind that of the log by less."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SHOWN = [
    "event_id",
    "occurred_at",
    "produced_ms",
    "transaction_id",
    "card_id",
    "decision",
    "score",
    "model_version",
    "challenger_version",
    "challenger_decision",
    "challenger_score",
]
_DECIDED = [
    "event_id",
    "occurred_at",
    "produced_ms",
    "transaction_id",
    "card_id",
    "decision",
    "score",
    "model_name",
    "model_version",
    "model_role",
]


def observed(
    archive: Archive, feature_set: FeatureSet, stage: Stage, settings: TrainingSettings, *, needed: int
) -> Seen:
    """Return what is archived of a stage since it began; rates are taken over the newest payments of many.

    needed: how many payments of the new version the stage is about.

    Raises:
        RefusedError: a file of the archive cannot be read.
    """
    as_of = archive.newest_event_time(feature_set) or _EPOCH
    until = as_of - timedelta(days=settings.headrace_training_label_delay_days)
    old_enough = _old_enough(archive, stage, until)
    labels = archive.labels(since=_first_date(old_enough))
    matured = labelled(old_enough.drop_nulls(["score", "challenger_score"]), labels, as_of)
    matured = matured.sort("occurred_at", "event_id")
    decided, challenger = (matured[name].to_numpy().astype(np.float32) for name in ("score", "challenger_score"))
    frauds = matured["fraud"].to_numpy()
    sides = _by_canary if stage.name == "canary" else _on_the_same
    new, before = sides(archive, stage, max(_RATED, _WIDER * needed), as_of)
    return Seen(
        new=new,
        before=before,
        matured=len(matured),
        frauds=int(frauds.sum()),
        test=harm_test(
            *((challenger, decided) if stage.challenger == stage.new else (decided, challenger)),
            frauds,
            matured["card"].to_numpy(),
            error_rate=settings.headrace_training_error_rate,
        ),
    )


def _old_enough(archive: Archive, stage: Stage, until: datetime) -> pl.DataFrame:
    """Return what the challenger said of payments up to `until`, each once."""
    only = _is_shown(stage) & (pl.col("occurred_at") <= until)
    return _once(archive.rows(SHADOWS, _SHOWN, until=until.date(), only=only))


def _on_the_same(archive: Archive, stage: Stage, count: int, as_of: datetime) -> tuple[Side, Side]:
    """Return the new version and the one before it, on the same payments."""
    written_since = stage.began.occurred_at - _CLOCKS_APART
    shown = archive.newest_rows(SHADOWS, _SHOWN, count=count, written_since=written_since, only=_is_shown(stage))
    rows = _labelled_once(archive, shown, as_of)
    decided, challenger = _side(rows, "decision", "score"), _side(rows, "challenger_decision", "challenger_score")
    return (challenger, decided) if stage.challenger == stage.new else (decided, challenger)


def _by_canary(archive: Archive, stage: Stage, count: int, as_of: datetime) -> tuple[Side, Side]:
    """Return the canary on its cards and the champion on the others."""
    written_since = stage.began.occurred_at - _CLOCKS_APART
    is_concerned = (pl.col("model_name") == stage.began.model_name) & _is_since(stage.began)
    share = stage.began.share or 1.0
    made = archive.newest_rows(
        SCORES, _DECIDED, count=round(count / share), written_since=written_since, only=is_concerned
    )
    rows = _labelled_once(archive, made, as_of)
    is_canary = (pl.col("model_role") == "canary") & (pl.col("model_version") == stage.new)
    is_champion = (pl.col("model_role") == "champion") & (pl.col("model_version") == stage.before)
    return _side(rows.filter(is_canary), "decision", "score"), _side(rows.filter(is_champion), "decision", "score")


def _side(rows: pl.DataFrame, verdict: str, score: str) -> Side:
    cards = rows["card"].to_numpy()
    is_flagged = (rows[verdict] != "approve") & (rows["fraud"] == 0)
    return Side(Hits(cards, is_flagged.to_numpy()), Hits(cards, rows[score].is_null().to_numpy()))


def _labelled_once(archive: Archive, rows: pl.DataFrame, as_of: datetime) -> pl.DataFrame:
    """Return the rows, each once, with what is known of them by now."""
    once = _once(rows)
    return labelled(once, archive.labels(since=_first_date(once)), as_of)


def _is_shown(stage: Stage) -> pl.Expr:
    """Return whether a row is what the challenger said of a payment that the other version decided, since it began."""
    is_both = (pl.col("challenger_version") == stage.challenger) & (pl.col("model_version") == stage.decided)
    return is_both & _is_since(stage.shown_since)


def _is_since(event: ModelEvent) -> pl.Expr:
    """Return whether the log took a row in after `event`."""
    return pl.col("produced_ms") > int(event.occurred_at.timestamp() * 1000)


def _once(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.unique("event_id", keep="first", maintain_order=True)


def _first_date(rows: pl.DataFrame) -> date:
    first = rows["occurred_at"].min()
    return first.date() if isinstance(first, datetime) else date.max
