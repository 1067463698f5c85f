"""The vector that a payment would have had, had it been another: the same history, from the archive."""

from collections.abc import Mapping
from datetime import timedelta

import polars as pl

from services.training.archive import Archive
from services.training.refusal import RefusedError
from shared.contracts import codec
from shared.contracts.codec import BadRecordError
from shared.contracts.events import FeatureVector, Transaction
from shared.features.backfill import backfilled
from shared.features.definitions import Entity, FeatureSet

_IDS = tuple(f"{entity.value}_id" for entity in Entity)
CHANGEABLE = (
    "amount",
    "currency",
    "channel",
    "country",
    "mcc",
    *(name for name in _IDS if name != "card_id"),
)
"""What a payment may be asked to have been; another card, or another time, would be another payment."""


def changed(payment: Transaction, changes: Mapping[str, str]) -> Transaction:
    """Return `payment` with some fields changed; values as they are written.

    Raises:
        RefusedError: bad_change: no such field, or not a value for it.
    """
    if unknown := sorted(changes.keys() - set(CHANGEABLE)):
        raise RefusedError("bad_change", f"{', '.join(unknown)} cannot be changed; can be: {', '.join(CHANGEABLE)}")
    values: dict[str, str | int | None] = {name: value or None for name, value in changes.items()}
    if "amount" in changes:
        if not changes["amount"].isdigit():
            raise RefusedError(
                "bad_change", f"amount is in whole minor units, {changes['amount']!r} is not: 1999 is 19.99"
            )
        values["amount"] = int(changes["amount"])
    fields = {name: getattr(payment, name) for name in payment.__struct_fields__}
    try:
        return codec.decode(Transaction, codec.encode(Transaction(**fields | values)))
    except BadRecordError as error:
        raise RefusedError("bad_change", f"this is no payment: {error}") from error


def hypothetical(archive: Archive, feature_set: FeatureSet, vector: FeatureVector, other: Transaction) -> list[float]:
    """Return the values of `vector`'s payment, had it been `other`: shape (features,).

    Raises:
        RefusedError: other_features than `feature_set`; payment_missing; a file of the archive cannot be read.
    """
    if vector.feature_version != feature_set.version:
        raise RefusedError(
            "other_features",
            f"this payment was decided on features {vector.feature_version[:12]}, computed are "
            f"{feature_set.version[:12]}; use the code of then",
        )
    day = other.occurred_at.date()
    since = day - timedelta(days=feature_set.longest_horizon.days + 1)
    # Delivered later, a payment may be dated earlier; whatever arrived later is left out by its place in the log.
    around = [pl.col(name) == value for name in _IDS if (value := getattr(other, name)) is not None]
    is_it = pl.col("event_id") == other.event_id
    payments = archive.payments(since=since, until=day + timedelta(days=1), only=pl.any_horizontal(is_it, *around))
    if payments.filter(is_it).is_empty():
        raise RefusedError("payment_missing", f"the archive does not hold payment {other.transaction_id} any more")
    columns = [
        pl.when(is_it)
        .then(pl.lit(getattr(other, name), dtype=payments.schema[name]))
        .otherwise(pl.col(name))
        .alias(name)
        for name in CHANGEABLE
    ]
    asked = pl.Series([other.event_id])
    values: list[float] = (
        backfilled(feature_set, payments.with_columns(columns), archive.labels(since=since), only=asked)
        .values[0]
        .tolist()
    )
    return values
