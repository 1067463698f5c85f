"""Events as typed columns: what a row of the archive holds.

Every row carries `partition` and `offset`: a batch that was delivered twice may stand in two files, and a reader takes
each (topic, partition, offset) once. A decision's row also carries `record`, the bytes that stood on the log: what is
decided again is held against them. `produced_ms` tells when the log took the record in (a vector's: its payment), and
so, with the place, in which order events arrived.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from shared.contracts.events import Event, FeatureVector, Freshness, Transaction
from shared.contracts.topics import FEATURES, IMPRESSIONS, INTERACTIONS, ITEMS, LABELS, SCORES, SHADOWS, USERS
from shared.features.definitions import FeatureSet
from shared.runtime.loop import Delivery

INSTANT = pl.Datetime("us", "UTC")
FEATURE_PREFIX = "feature_"
"""Keeps the feature `amount` apart from the payment's own `amount`."""

RECORD = "record"
_PAYMENT_COLUMNS = {name: f"transaction_{name}" for name in ("event_id", "occurred_at", "trace_id")}
"""Columns of what a payment and its vector both have."""


class _Column(NamedTuple):
    name: str
    type: pl.DataType
    read: Callable[[Any], Any]


def _field(name: str, kind: pl.DataType, path: str | None = None) -> _Column:
    return _Column(name, kind, attrgetter(path or name))


def _instant(name: str, path: str) -> _Column:
    return _Column(name, INSTANT, attrgetter(path))


def _attributes(path: str = "attributes") -> _Column:
    read = attrgetter(path)
    return _Column("attributes", pl.String(), lambda event: msgspec.json.encode(read(event)).decode())


def _shown(name: str, kind: pl.DataType, field: str) -> _Column:
    """A field of the items that an impression showed, in their order."""
    read = attrgetter(field)
    return _Column(name, pl.List(kind), lambda event: [read(item) for item in event.items])


def _explored(name: str, kind: pl.DataType, field: str) -> _Column:
    """A field of the place that the bandit filled; null where it filled none."""
    read = attrgetter(field)
    return _Column(name, kind, lambda event: None if event.exploration is None else read(event.exploration))


_ENVELOPE = (
    _field("event_id", pl.String()),
    _field("schema_version", pl.Int16()),
    _instant("occurred_at", "occurred_at"),
    _field("trace_id", pl.String()),
)
_VECTOR = (
    *_ENVELOPE,
    _field("feature_set", pl.String()),
    _field("feature_version", pl.String()),
    _field("transaction_event_id", pl.String(), "transaction.event_id"),
    _instant("transaction_occurred_at", "transaction.occurred_at"),
    _field("transaction_trace_id", pl.String(), "transaction.trace_id"),
    *(
        _field(name, kind, f"transaction.{name}")
        for name, kind in (
            ("transaction_id", pl.String()),
            ("card_id", pl.String()),
            ("merchant_id", pl.String()),
            ("device_id", pl.String()),
            ("user_id", pl.String()),
            ("amount", pl.Int64()),
            ("currency", pl.String()),
            ("channel", pl.String()),
            ("country", pl.String()),
            ("mcc", pl.String()),
        )
    ),
    _attributes("transaction.attributes"),
    *(
        _field(name, kind, f"freshness.{name}")
        for name, kind in (
            ("state_age_seconds", pl.Float64()),
            ("source_lag_records", pl.Int64()),
            ("late_seconds", pl.Float64()),
            ("outdated_vectors", pl.Int64()),
        )
    ),
    _field("degraded", pl.List(pl.String())),
)
_DECISION = (
    *_ENVELOPE,
    _field("transaction_id", pl.String()),
    _field("card_id", pl.String()),
    _field("decision", pl.String()),
    _field("score", pl.Float64()),
    _Column("reason_codes", pl.List(pl.String()), lambda event: [reason.code for reason in event.reasons]),
    _Column("reason_texts", pl.List(pl.String()), lambda event: [reason.text for reason in event.reasons]),
    _field("model_name", pl.String()),
    _field("model_version", pl.Int64()),
    _field("model_digest", pl.String()),
    _field("feature_version", pl.String()),
    _field("vector_digest", pl.String()),
    _field("policy_digest", pl.String()),
    _field("policy_version", pl.Int64()),
    _field("model_role", pl.String()),
    _field("lists", pl.List(pl.String())),
    _field("feature_age_seconds", pl.Float64()),
    _field("degraded", pl.List(pl.String())),
)
_SHADOW = (
    *_ENVELOPE,
    _field("transaction_id", pl.String()),
    _field("card_id", pl.String()),
    _field("decision_id", pl.String()),
    _field("decision", pl.String()),
    _field("score", pl.Float64()),
    _field("model_name", pl.String()),
    _field("model_version", pl.Int64()),
    _field("challenger_version", pl.Int64()),
    _field("challenger_digest", pl.String()),
    _field("challenger_decision", pl.String()),
    _field("challenger_score", pl.Float64()),
)
_LABEL = (
    *_ENVELOPE,
    _field("transaction_id", pl.String()),
    _field("card_id", pl.String()),
    _field("label", pl.String()),
    _field("source", pl.String()),
)
_INTERACTION = (
    *_ENVELOPE,
    _field("user_id", pl.String()),
    _field("item_id", pl.String()),
    _field("kind", pl.String()),
    _field("quantity", pl.Int32()),
    _field("session_id", pl.String()),
    _field("recommendation_id", pl.String()),
    _attributes(),
)
_ITEM = (
    *_ENVELOPE,
    _field("item_id", pl.String()),
    _field("categories", pl.List(pl.String())),
    _attributes(),
    _field("is_available", pl.Boolean()),
    _instant("available_from", "available_from"),
    _instant("expires_at", "expires_at"),
    _field("is_deleted", pl.Boolean()),
)
_USER = (*_ENVELOPE, _field("user_id", pl.String()), _attributes(), _field("is_deleted", pl.Boolean()))
_IMPRESSION = (
    *_ENVELOPE,
    _field("recommendation_id", pl.String()),
    _field("user_id", pl.String()),
    _field("surface", pl.String()),
    _shown("item_ids", pl.String(), "item_id"),
    _shown("scores", pl.Float64(), "score"),
    _shown("propensities", pl.Float64(), "propensity"),
    _field("recent", pl.List(pl.String())),
    _field("model_name", pl.String()),
    _field("model_version", pl.Int64()),
    _field("policy_version", pl.Int64()),
    _field("experiment", pl.String()),
    _field("arm", pl.String()),
    _explored("place", pl.Int64(), "place"),
    _explored("pool", pl.List(pl.String()), "pool"),
    _explored("pool_scores", pl.List(pl.Float64()), "scores"),
    _explored("pool_contexts", pl.List(pl.List(pl.Float64())), "contexts"),
    _explored("pool_propensities", pl.List(pl.Float64()), "propensities"),
    _explored("chosen", pl.Int64(), "chosen"),
)
_PLACE = (
    ("produced_ms", pl.Int64()),
    ("partition", pl.Int32()),
    ("offset", pl.Int64()),
)
_VALUES = _field("values", pl.List(pl.Float64()))
_BY_TOPIC = {
    FEATURES.name: _VECTOR,
    SCORES.name: _DECISION,
    SHADOWS.name: _SHADOW,
    LABELS.name: _LABEL,
    INTERACTIONS.name: _INTERACTION,
    IMPRESSIONS.name: _IMPRESSION,
    ITEMS.name: _ITEM,
    USERS.name: _USER,
}

ARCHIVED_TOPICS = tuple(_BY_TOPIC)
VECTOR_COLUMNS = [column.name for column in _VECTOR] + [name for name, _ in _PLACE]
"""The columns that every feature vector has, whatever its version."""


def table(topic: str, deliveries: Sequence[Delivery]) -> pl.DataFrame:
    """Return one row a delivery of `topic`, without the values of a feature vector."""
    frame = _table(_BY_TOPIC[topic], deliveries)
    if topic != SCORES.name:
        return frame
    return frame.with_columns(pl.Series(RECORD, [delivery.record.value for delivery in deliveries], pl.Binary()))


def vector_table(deliveries: Sequence[Delivery], feature_set: FeatureSet | None) -> pl.DataFrame:
    """Return one row a feature vector; its values as one column a feature, or as a list when the set is not known."""
    if feature_set is None:
        return _table((*_VECTOR, _VALUES), deliveries)
    frame = _table(_VECTOR, deliveries)
    values = [delivery.event.values for delivery in deliveries]  # type: ignore[attr-defined]
    matrix = np.array(values, dtype=np.float64).reshape(len(values), len(feature_set.features))
    return with_features(frame, feature_set, matrix)


def with_features(frame: pl.DataFrame, feature_set: FeatureSet, values: npt.NDArray[np.float64]) -> pl.DataFrame:
    """Return `frame` with one column a feature; values: shape (rows, features)."""
    names = feature_columns(feature_set)
    return frame.with_columns(pl.Series(name, values[:, at], pl.Float64()) for at, name in enumerate(names))


def feature_columns(feature_set: FeatureSet) -> list[str]:
    """Return the archive's columns of a feature set, in the order of its vectors."""
    return [FEATURE_PREFIX + name for name in feature_set.feature_names]


def _table(columns: Sequence[_Column], deliveries: Sequence[Delivery]) -> pl.DataFrame:
    events: list[Event] = [delivery.event for delivery in deliveries]
    series = [pl.Series(column.name, [column.read(event) for event in events], column.type) for column in columns]
    series += [
        pl.Series(name, [getattr(delivery.record, name) for delivery in deliveries], kind) for name, kind in _PLACE
    ]
    return pl.DataFrame(series)


def vector_of(row: Mapping[str, Any], values: list[float]) -> FeatureVector:
    """Return the vector that a row with VECTOR_COLUMNS was made of; values: its features, in order."""
    own = {name: row[_PAYMENT_COLUMNS.get(name, name)] for name in Transaction.__struct_fields__}
    own["attributes"] = msgspec.json.decode(own["attributes"], type=dict[str, float | str])
    envelope = {name: row[name] for name in Event.__struct_fields__}
    freshness = Freshness(**{name: row[name] for name in Freshness.__struct_fields__})
    return FeatureVector(
        **envelope,
        transaction=Transaction(**own),
        feature_set=row["feature_set"],
        feature_version=row["feature_version"],
        values=values,
        freshness=freshness,
        degraded=row["degraded"],
    )
