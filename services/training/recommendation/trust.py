"""How far interactions are trusted: those of shoppers whose payments are fraud count less.

Whoever pushes an item with fake clicks often pays with stolen cards too, from the same accounts. A payment is suspect
by the score it was declined with; a label, once there is one, goes before the score. An interaction counts

    max(1 - suspicion, TRUST_MIN)

where suspicion is the highest of its user's payments within `distrust_days` of it, in whole days (UTC).
"""

from datetime import date, timedelta
from math import ceil

import polars as pl

from services.training.archive import Archive

TRUST_MIN = 0.05
"""What an interaction of a proven fraudster still counts: a stolen account has an owner with tastes too."""

_PAYMENT = ["transaction_id", "card_id"]
_SUSPICIONS = {"user_id": pl.String(), "day": pl.Date(), "suspicion": pl.Float64()}


def suspicions(archive: Archive, *, since: date, until: date) -> pl.DataFrame:
    """Return the suspect payments whose user is known: user_id, day and suspicion (above 0, to 1) of each.

    since, until: dates of the payments, both included. Raises RefusedError.
    """
    declined = archive.decisions(
        [*_PAYMENT, "decision", "score"], since=since, until=until, only=pl.col("decision") == "decline"
    )
    latest = archive.labels(since=since).sort("occurred_at", "partition", "offset")
    labels = latest.unique(_PAYMENT, keep="last").select(
        *_PAYMENT, labelled=(pl.col("label") == "fraud").cast(pl.Float64)
    )
    suspects = (
        declined.group_by(_PAYMENT)
        .agg(pl.col("score").max())
        .join(labels, on=_PAYMENT, how="full", coalesce=True)
        .select(*_PAYMENT, suspicion=pl.coalesce("labelled", "score"))
        .filter(pl.col("suspicion") > 0)
    )
    is_suspect = pl.col("user_id").is_not_null() & pl.col("transaction_id").is_in(suspects["transaction_id"].implode())
    payments = archive.payments(since=since, until=until, only=is_suspect)
    found = payments.join(suspects, on=_PAYMENT).with_columns(day=pl.col("occurred_at").dt.date())
    return found.select(pl.col(name).cast(kind) for name, kind in _SUSPICIONS.items())


def trust(interactions: pl.DataFrame, suspect: pl.DataFrame, *, distrust_days: float) -> pl.Series:
    """Return what each interaction counts, from TRUST_MIN to 1, in the order of the rows.

    interactions: with user_id and occurred_at. suspect: as from `suspicions`.
    """
    reach = ceil(distrust_days)
    days = [pl.col("day") + timedelta(days=apart) for apart in range(-reach, reach + 1)]
    around = (
        suspect.with_columns(day=pl.concat_list(days))
        .explode("day")
        .group_by("user_id", "day")
        .agg(pl.col("suspicion").max())
    )
    asked = interactions.select("user_id", day=pl.col("occurred_at").dt.date())
    found = asked.join(around, on=["user_id", "day"], how="left", maintain_order="left")
    return (1 - found["suspicion"].fill_null(0.0)).clip(lower_bound=TRUST_MIN)
