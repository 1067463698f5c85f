"""Decisions as a file: JSON Lines while they are made, then whatever format was asked for."""

from pathlib import Path
from typing import Literal, Self

import polars as pl
from msgspec import Struct

from shared.contracts.events import Decision, Degradation, Verdict
from shared.files.event_file import FileError

Format = Literal["csv", "jsonl", "parquet"]
SUFFIXES: dict[str, Format] = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}

_SCHEMA = pl.Schema(
    {
        "transaction_id": pl.String(),
        "decision": pl.String(),
        "score": pl.Float64(),
        "reasons": pl.List(pl.String()),
        "model_version": pl.Int64(),
        "policy_version": pl.Int64(),
        "degraded": pl.List(pl.String()),
    }
)
_LISTS = [name for name, kind in _SCHEMA.items() if isinstance(kind, pl.List)]


class ResultRow(Struct, frozen=True, kw_only=True):
    """What a file says of one decision; `reasons` are their codes. CSV has a space between the items of a list."""

    transaction_id: str
    decision: Verdict
    score: float | None
    reasons: list[str]
    model_version: int
    policy_version: int
    degraded: list[Degradation]

    @classmethod
    def of(cls, decision: Decision) -> Self:
        """Return the row of a decision."""
        return cls(
            transaction_id=decision.transaction_id,
            decision=decision.decision,
            score=decision.score,
            reasons=[reason.code for reason in decision.reasons],
            model_version=decision.model_version,
            policy_version=decision.policy_version,
            degraded=decision.degraded,
        )


def format_of(path: Path) -> Format:
    """Return the format that a file's name asks for; raises FileError when it asks for none of ours."""
    found = SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise FileError(f"{path.name}: unknown format; a file ends in one of {', '.join(SUFFIXES)}")
    return found


def finish(json_lines: Path, out: Path) -> None:
    """Turn a complete file of JSON Lines into `out`, which appears whole; a slice at a time.

    Raises:
        OSError: the disk does not take it.
    """
    chosen = format_of(out)
    if chosen == "jsonl":
        json_lines.replace(out)
        return
    rows, whole = pl.scan_ndjson(json_lines, schema=_SCHEMA), json_lines.with_suffix(".whole")
    try:
        if chosen == "parquet":
            rows.sink_parquet(whole)
        else:
            rows.with_columns(pl.col(_LISTS).list.join(" ")).sink_csv(whole)
        whole.replace(out)
    except pl.exceptions.PolarsError as error:
        raise OSError(f"{out.name} cannot be written: {error}") from error
    finally:
        whole.unlink(missing_ok=True)
