"""Archived payments and labels as they came by on the log, for a rebuild."""

import heapq
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from services.features.handlers import log_order
from services.features.rebuild import RECORDS_AT_ONCE
from shared.bus.base import Record
from shared.contracts.events import Event, Label, Transaction
from shared.contracts.topics import LABELS, TRANSACTIONS
from shared.features.backfill import LABEL_COLUMNS, ORDER_OF_ARRIVAL, PAYMENT_COLUMNS
from shared.features.state import identity
from shared.runtime.loop import Delivery

_UNTRACED = "0" * 32
_PLACE = {"produced_ms", "partition", "offset"}


class Archived:
    """What the archive holds; a payment's place is that of its vector, since only that is archived."""

    def __init__(self, payments: pl.DataFrame, labels: pl.DataFrame) -> None:
        """Take the rows; columns: PAYMENT_COLUMNS and LABEL_COLUMNS."""
        kinds = [payments.select(PAYMENT_COLUMNS, is_payment=True), labels.select(LABEL_COLUMNS, is_payment=False)]
        self._rows = pl.concat(kinds, how="diagonal_relaxed").sort(ORDER_OF_ARRIVAL)
        self._identities = np.sort(np.array([identity(text) for text in self._rows["event_id"]], dtype=np.int64))

    def __len__(self) -> int:
        return len(self._rows)

    def batches(self, from_log: Iterator[list[Delivery]]) -> Iterator[list[Delivery]]:
        """Yield everything in the order in which it arrived, together with what only the log has."""
        from_archive = (_delivery(row) for rows in self._slices() for row in rows.iter_rows(named=True))
        only_there = (delivery for batch in from_log for delivery in sorted(self._lacked(batch), key=log_order))
        merged = heapq.merge(from_archive, only_there, key=log_order)
        while batch := list(itertools.islice(merged, RECORDS_AT_ONCE)):
            yield batch

    def _slices(self) -> Iterator[pl.DataFrame]:
        """Yield the rows in parts."""
        return self._rows.iter_slices(RECORDS_AT_ONCE)

    def _lacked(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Return those of `deliveries` whose events are not archived."""
        wanted = np.array([identity(delivery.event.event_id) for delivery in deliveries], dtype=np.int64)
        at = np.searchsorted(self._identities, wanted)
        is_archived = np.append(self._identities, 0)[at] == wanted
        is_archived &= at < len(self._identities)
        return [delivery for delivery, there in zip(deliveries, is_archived, strict=True) if not there]


def _delivery(row: dict[str, Any]) -> Delivery:
    topic, columns = (TRANSACTIONS, PAYMENT_COLUMNS) if row["is_payment"] else (LABELS, LABEL_COLUMNS)
    fields = {name: row[name] for name in columns if name not in _PLACE}
    event: Event
    if row["is_payment"]:
        event = Transaction(trace_id=_UNTRACED, **fields)
    else:
        event = Label(trace_id=_UNTRACED, source="review", **fields)
    place = row["partition"], row["offset"]
    return Delivery(Record(topic.name, *place, event.card_id.encode(), b"", row["produced_ms"]), event)
