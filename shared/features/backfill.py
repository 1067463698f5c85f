"""Vectors of the past, as the online path served them: columns of payments and labels in, values out.

The same records, marks and windows as online (see state, marks, values), built for whole columns at once: every
entity's records in the log's order of arrival, and for each payment the question what stood before it. Nothing is
folded into tiles here, so every vector is exact; the price is that an entity with n payments in reach costs n² steps.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from shared.features.definitions import Entity, FeatureSet, Field
from shared.features.kernel import kernel
from shared.features.marks import NEVER_US, mark
from shared.features.program import Floats, Integers, compiled
from shared.features.state import (
    AMOUNT,
    EVENT,
    LABEL_KIND,
    ORIGIN,
    SUBJECT,
    TIME,
    WORDS,
    Records,
    bits_of,
    category_code,
)
from shared.features.tiles import LATENESS
from shared.features.values import Questions, evaluate

ORDER_OF_ARRIVAL = ("produced_ms", "occurred_at", "is_payment", "partition", "offset")
"""What the log's records are sorted by; at the same instant labels go before payments."""
_ARRIVAL = ("produced_ms", "partition", "offset")
PAYMENT_COLUMNS = (
    "event_id",
    "transaction_id",
    *(f"{entity.value}_id" for entity in Entity),
    "occurred_at",
    "amount",
    *(field.value for field in Field),
    *_ARRIVAL,
)
LABEL_COLUMNS = ("event_id", "transaction_id", "card_id", "occurred_at", "label", *_ARRIVAL)

_QUESTIONS_AT_ONCE = 65_536
_LATENESS_US = int(LATENESS.total_seconds() * 1_000_000)


class Backfilled(NamedTuple):
    """The vectors of n payments, in order of arrival.

    payments: the rows of the payments answered, each event once.
    values: shape (n, features), float64, amounts in minor units.
    late_us: shape (n,): by how much an entity's newest payment was ahead of this one; 0 where none was.
    in_reach: shape (n, entities): most records of the entity that the online state still had to keep for this vector.
    """

    payments: pl.DataFrame
    values: Floats
    late_us: Integers
    in_reach: Integers


def backfilled(
    feature_set: FeatureSet, payments: pl.DataFrame, labels: pl.DataFrame, *, only: pl.Series | None = None
) -> Backfilled:
    """Return the vector of every payment, computed from what had arrived before it.

    payments, labels: at least PAYMENT_COLUMNS and LABEL_COLUMNS, in any order of rows, times in UTC microseconds. An
    event that stands twice is taken once, the copy that arrived first. only: ids of the events to answer; all of the
    others are history.
    """
    payments, labels = _in_order_of_arrival(payments, labels)
    ids = _ids(payments)
    templates = _payment_templates(payments)
    verdicts = _verdicts(payments, labels, ids)
    histories = [
        _history(entity, feature_set, ids, templates, payments["arrival"].to_numpy(), verdicts[entity])
        for entity in feature_set.entities
    ]
    asked = np.arange(len(payments)) if only is None else np.flatnonzero(payments["event_id"].is_in(only.implode()))
    return _answered(feature_set, payments, histories, asked)


class _Verdicts(NamedTuple):
    """The labels that reach one kind of entity.

    entity_ids: shape (m,). turns: shape (m,), when each arrives, comparable with twice a payment's arrival.
    """

    entity_ids: Integers
    turns: Integers
    records: Records


class _History(NamedTuple):
    """The records of all entities of one kind, one entity behind the other.

    ends: shape (entities,). owns, segments, begins: shape (payments,): of each payment its row, its entity and the
    first row in reach; -1 where it has no such entity.
    """

    records: Records
    ends: Integers
    owns: Integers
    segments: Integers
    begins: Integers


def _in_order_of_arrival(payments: pl.DataFrame, labels: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return both, each event once and with its place in the common order as `arrival`."""
    kinds = [(labels.select(LABEL_COLUMNS), False), (payments, True)]
    keys = pl.concat(
        frame.select(
            pl.col("produced_ms").cast(pl.Int64),
            pl.col("occurred_at").dt.epoch("us"),
            pl.lit(is_payment).alias("is_payment"),
            pl.col("partition").cast(pl.Int64),
            pl.col("offset").cast(pl.Int64),
            pl.int_range(pl.len()).alias("row"),
        )
        for frame, is_payment in kinds
    )
    keys = keys.sort(ORDER_OF_ARRIVAL).with_columns(arrival=pl.int_range(pl.len(), dtype=pl.Int64))
    arrived = []
    for frame, is_payment in kinds:
        of_kind = keys.filter(pl.col("is_payment") == is_payment)
        ordered = frame[of_kind["row"]].with_columns(of_kind["arrival"])
        arrived.append(ordered.unique("event_id", keep="first", maintain_order=True))
    return arrived[1], arrived[0]


def _ids(payments: pl.DataFrame) -> dict[Entity, Integers]:
    return {entity: _identities(payments[f"{entity.value}_id"]) for entity in Entity}


def _identities(texts: pl.Series) -> Integers:
    """Return a 64-bit hash of each text, 0 for none. Only equality matters here, so any good hash does."""
    hashes = texts.cast(pl.String).hash().reinterpret(signed=True).to_numpy()
    return np.where(texts.is_null().to_numpy(), 0, hashes)


def _payment_templates(payments: pl.DataFrame) -> Records:
    """Return the payments' records without other entities' ids, shape (n, WORDS)."""
    records = np.zeros((len(payments), WORDS), dtype=np.int64)
    records[:, TIME] = payments["occurred_at"].dt.epoch("us").to_numpy()
    records[:, EVENT] = np.arange(len(payments))
    records[:, SUBJECT] = _identities(payments["transaction_id"])
    records[:, AMOUNT] = payments["amount"].to_numpy()
    for field in Field:
        values = payments[field.value].cast(pl.String)
        known = values.unique()
        codes = pl.Series([category_code(field, value) for value in known], dtype=pl.Int64)
        word, shift, _ = bits_of(field, inside=Entity.CARD)
        records[:, word] |= values.replace_strict(known, codes).cast(pl.Int64).to_numpy() << shift
    return records


def _verdicts(payments: pl.DataFrame, labels: pl.DataFrame, ids: dict[Entity, Integers]) -> dict[Entity, _Verdicts]:
    """Return the labels as they reach each kind of entity; one that came before its payment counts from that on."""
    records = np.zeros((len(labels), WORDS), dtype=np.int64)
    records[:, ORIGIN] = LABEL_KIND
    records[:, TIME] = labels["occurred_at"].dt.epoch("us").to_numpy()
    records[:, EVENT] = np.arange(len(labels))
    records[:, SUBJECT] = _identities(labels["transaction_id"])
    records[:, AMOUNT] = (labels["label"] == "fraud").to_numpy()
    told = _told(payments, labels)
    of, by = told["label_row"].to_numpy(), told["payment_row"].to_numpy()
    turns = told["turn"].to_numpy()
    verdicts = {entity: _Verdicts(ids[entity][by], turns, records[of]) for entity in Entity}
    verdicts[Entity.CARD] = _Verdicts(_identities(labels["card_id"]), 2 * labels["arrival"].to_numpy(), records)
    return verdicts


def _told(payments: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Return which label is told about which payment, and when.

    Of several payments with the label's transaction id, those that are still to come are told, and the last that came.
    """
    about = ["card_id", "transaction_id"]
    joined = labels.select(*about, "arrival", label_row=pl.int_range(pl.len())).join(
        payments.select(*about, payment_arrival="arrival", payment_row=pl.int_range(pl.len())), on=about
    )
    is_before = pl.col("payment_arrival") < pl.col("arrival")
    last_before = pl.col("payment_arrival").filter(is_before).max().over("label_row")
    return joined.filter(~is_before | (pl.col("payment_arrival") == last_before)).select(
        "label_row",
        "payment_row",
        # One that is still to come is told when it comes: until then its id may be that of another card's payment.
        turn=pl.when(is_before).then(2 * pl.col("arrival")).otherwise(2 * pl.col("payment_arrival") - 1),
    )


def _history(
    entity: Entity,
    feature_set: FeatureSet,
    ids: dict[Entity, Integers],
    templates: Records,
    arrivals: Integers,
    verdicts: _Verdicts,
) -> _History:
    """Return the records of all entities of a kind, each entity's in order of arrival."""
    having = np.flatnonzero(ids[entity])
    told = np.flatnonzero(verdicts.entity_ids)
    entity_ids = np.concatenate((ids[entity][having], verdicts.entity_ids[told]))
    turns = np.concatenate((2 * arrivals[having], verdicts.turns[told]))
    order = np.lexsort((turns, entity_ids))
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    own_places, label_places = places[: len(having)], places[len(having) :]
    records = np.empty((len(order), WORDS), dtype=np.int64)
    records[own_places] = templates[having]
    records[label_places] = verdicts.records[told]
    for other in Entity:
        if other is not entity:
            records[own_places, bits_of(other, inside=entity).word] = ids[other][having]
    sorted_ids = entity_ids[order]
    ends = np.append(np.flatnonzero(sorted_ids[1:] != sorted_ids[:-1]) + 1, len(order)) if len(order) else order
    reach_us = int(feature_set.horizon(entity).total_seconds() * 1_000_000) + _LATENESS_US
    begins = _begins(records, ends, reach_us)
    return _History(
        records,
        ends,
        owns=_spread(own_places, having, len(templates)),
        segments=_spread(np.searchsorted(ends, own_places, side="right"), having, len(templates)),
        begins=_spread(begins[own_places], having, len(templates)),
    )


def _spread(values: Integers, rows: npt.NDArray[np.intp], count: int) -> Integers:
    spread = np.full(count, -1, dtype=np.int64)
    spread[rows] = values
    return spread


@kernel
def _begins(records: Records, ends: Integers, reach_us: int) -> Integers:
    """Return for each row the first row of its entity behind all those that are older than its time by `reach_us`."""
    begins = np.empty(records.shape[0], dtype=np.int64)
    newest_until = np.empty(records.shape[0], dtype=np.int64)
    begin = 0
    for end in ends:
        newest = NEVER_US
        for i in range(begin, end):
            if records[i, ORIGIN] < LABEL_KIND:
                newest = max(newest, records[i, TIME])
            newest_until[i] = newest
            begins[i] = begin + np.searchsorted(newest_until[begin:i], records[i, TIME] - reach_us, side="right")
        begin = end
    return begins


def _answered(
    feature_set: FeatureSet, payments: pl.DataFrame, histories: Sequence[_History], asked: npt.NDArray[np.intp]
) -> Backfilled:
    """Return the vectors of the payments in the rows `asked`."""
    program = compiled(feature_set)
    records = np.concatenate([history.records for history in histories])
    rows_before = np.cumsum([0, *(len(history.records) for history in histories)])
    entities_before = np.cumsum([0, *(len(history.ends) for history in histories)])
    ends = np.concatenate([history.ends + at for history, at in zip(histories, rows_before[:-1], strict=True)])
    owns, begins, segments = (
        np.column_stack(
            [
                np.where(column[asked] < 0, -1, column[asked] + at)
                for column, at in zip(columns, before[:-1], strict=True)
            ]
        )
        for columns, before in (
            ([history.owns for history in histories], rows_before),
            ([history.begins for history in histories], rows_before),
            ([history.segments for history in histories], entities_before),
        )
    )
    marks = mark(records, ends)
    values = np.empty((len(asked), len(program.features)), dtype=np.float64)
    newest_before_us = np.full(len(asked), NEVER_US, dtype=np.int64)
    # Card by card, so that a history is still in the processor's cache when it is looked at again.
    by_card = np.argsort(owns[:, 0])
    for at in range(0, len(asked), _QUESTIONS_AT_ONCE):
        rows = by_card[at : at + _QUESTIONS_AT_ONCE]
        answers = evaluate(records, marks, program, Questions(segments[rows], begins[rows], owns[rows]))
        values[rows] = answers.values
        newest_before_us[rows] = answers.newest_before_us.max(axis=1)
    times_us = records[owns[:, 0], TIME]
    return Backfilled(
        payments=payments[asked].drop("arrival"),
        values=values,
        late_us=np.maximum(newest_before_us - times_us, 0),
        in_reach=np.where(owns < 0, 0, owns - begins + 1),
    )
