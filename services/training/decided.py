"""Decisions of the past, found in the archive with the vectors that they were made on."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import polars as pl

from services.training.columns import FEATURE_PREFIX, RECORD, VECTOR_COLUMNS, vector_of
from services.training.refusal import RefusedError
from shared.contracts import codec
from shared.contracts.events import Decision, FeatureVector
from shared.contracts.topics import SCORES


class Decided(NamedTuple):
    """A decision, and what it was made on.

    record: the decision's bytes as they stood on `scores`. vector: as it stood on `features`.
    """

    record: bytes
    decision: Decision
    vector: FeatureVector


def decided(archive: Path, decision_ids: Iterable[str]) -> Iterator[Decided]:
    """Yield the decisions with these ids, by the days of their payments.

    archive: its folder.

    Raises:
        RefusedError: bad_id, unknown_decision, record_missing, vector_missing or unreadable_archive.
    """
    for day, ids in itertools.groupby(sorted(decision_ids, key=_day), key=_day):
        decisions = _decisions(archive, day, list(ids))
        vectors = _vectors(archive, day, [decision.transaction_id for _, decision in decisions])
        for record, decision in decisions:
            found = vectors.get((decision.transaction_id, decision.card_id, decision.feature_version))
            if found is None:
                raise RefusedError(
                    "vector_missing",
                    f"the archive below {archive} holds decision {decision.event_id}, but no vector of payment "
                    f"{decision.transaction_id} of {day} with features {decision.feature_version[:12]}; restore it",
                )
            yield Decided(record, decision, found)


def sampled_ids(archive: Path, count: int, *, seed: int) -> list[str]:
    """Return the ids of `count` archived decisions drawn at random; of all, where there are fewer."""
    rows = _rows(archive, f"{SCORES.name}/date=*", ["event_id"])
    if rows.is_empty():
        return []
    ids = rows["event_id"].unique().sort()
    return ids.sample(min(count, len(ids)), seed=seed).to_list()


def _decisions(archive: Path, day: date, ids: Sequence[str]) -> list[tuple[bytes, Decision]]:
    rows = _rows(archive, f"{SCORES.name}/date={day}", only=pl.col("event_id").is_in(ids))
    by_id = {row["event_id"]: row.get(RECORD) for row in rows.to_dicts()}
    if absent := sorted(set(ids) - by_id.keys()):
        raise RefusedError(
            "unknown_decision",
            f"the archive below {archive} holds no decision {absent[0]} of {day}; it comes there within seconds: "
            "check the id, or look again",
        )
    found = []
    for decision_id, record in by_id.items():
        if record is None:
            raise RefusedError(
                "record_missing", f"decision {decision_id} was archived by a version that did not keep its bytes"
            )
        found.append((record, codec.decode(Decision, record)))
    return found


def _vectors(archive: Path, day: date, transaction_ids: Sequence[str]) -> dict[tuple[str, str, str], FeatureVector]:
    """Return the vectors of payments, by transaction, card and feature version."""
    found: dict[tuple[str, str, str], FeatureVector] = {}
    only = pl.col("transaction_id").is_in(transaction_ids)
    for folder in sorted(archive.glob(f"features*/version=*/date={day}")):
        for row in _rows(archive, str(folder.relative_to(archive)), only=only).to_dicts():
            vector = vector_of(row, _values(row))
            payment = vector.transaction
            found.setdefault((payment.transaction_id, payment.card_id, vector.feature_version), vector)
    return found


def _values(row: dict[str, Any]) -> list[float]:
    columns = [name for name in row if name.startswith(FEATURE_PREFIX) and name not in VECTOR_COLUMNS]
    return [row[name] for name in columns] if columns else row["values"]


def _rows(
    archive: Path, folder: str, columns: Sequence[str] | None = None, *, only: pl.Expr | None = None
) -> pl.DataFrame:
    frames = []
    for file in sorted(archive.glob(f"{folder}/*.parquet")):
        # A vector that was computed afterwards is not the one that was decided on.
        if file.name.startswith("backfilled-"):
            continue
        try:
            rows = pl.scan_parquet(file, hive_partitioning=False)
            rows = rows if columns is None else rows.select(columns)
            frames.append((rows if only is None else rows.filter(only)).collect())
        except (pl.exceptions.PolarsError, OSError) as error:
            raise RefusedError("unreadable_archive", f"{file}: {error}; restore the file") from error
    return pl.concat(frames, how="diagonal") if frames else pl.DataFrame()


def _day(decision_id: str) -> date:
    """Return the date that an id (UUIDv7) carries, which is its payment's own."""
    try:
        milliseconds = UUID(decision_id).int >> 80
        return datetime.fromtimestamp(milliseconds / 1000, UTC).date()
    except (ValueError, OverflowError, OSError) as error:
        raise RefusedError(
            "bad_id", f"{decision_id!r} is no decision's id: {error}; copy it from the answer"
        ) from error
