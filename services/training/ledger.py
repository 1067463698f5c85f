"""The ledger of late payments: how late they were, and how many decisions made before would have been others."""

from datetime import date
from typing import NamedTuple

import polars as pl

from services.training.archive import Archive

BOUNDS_SECONDS = {"< 1 s": 1.0, "< 1 min": 60.0, "< 1 h": 3_600.0, "< 1 d": 86_400.0}
"""Kinds of lateness, each told by what it stays below."""
REST = "1 d or more"

_IN_TIME = "in time"
_SCHEMA = {"lateness": pl.String(), "payments": pl.Int64(), "outdated": pl.Int64()}


class LedgerRow(NamedTuple):
    """Payments of one kind of lateness.

    outdated: payments answered before, whose vectors would have been others had these come in time; one that several
        late payments concern counts for each of them.
    """

    lateness: str
    payments: int
    outdated: int


class Ledger(NamedTuple):
    """payments: all that were archived. late: those that came after a newer one of one of their entities, by kind."""

    payments: int
    late: list[LedgerRow]


def ledger(archive: Archive, *, since: date = date.min) -> Ledger:
    """Return the ledger of payments on or after `since`, each counted once; raises RefusedError.

    A payment is late against the newest one of its card, merchant, device or user that arrived before.
    """
    days = [_day(archive, day) for day in archive.payment_dates() if day >= since]
    rows = pl.concat(days) if days else pl.DataFrame(schema=_SCHEMA)
    by_lateness = {row["lateness"]: row for row in rows.group_by("lateness").sum().iter_rows(named=True)}
    late = [
        LedgerRow(name, by_lateness[name]["payments"], by_lateness[name]["outdated"])
        if name in by_lateness
        else LedgerRow(name, 0, 0)
        for name in (*BOUNDS_SECONDS, REST)
    ]
    return Ledger(int(rows["payments"].sum()), late)


def _day(archive: Archive, day: date) -> pl.DataFrame:
    """Return the day's payments, summed up by lateness."""
    late = pl.col("late_seconds")
    below = (pl.when(late < bound).then(pl.lit(name)) for name, bound in BOUNDS_SECONDS.items())
    kind = pl.coalesce(pl.when(late <= 0).then(pl.lit(_IN_TIME)), *below, pl.lit(REST))
    rows = archive.payment_rows(since=day, until=day)
    summed = rows.group_by(kind.alias("lateness")).agg(payments=pl.len(), outdated=pl.col("outdated_vectors").sum())
    return summed.select(pl.col(name).cast(of_type) for name, of_type in _SCHEMA.items())
