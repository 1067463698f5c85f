"""The book's published feature columns against ours: `make bench-handbook-features HEADRACE_DATA=...`.

The payments go through the features handler in order of time, labels when they became known, over the store in memory:
what is compared is the arithmetic and the state, not the order in which a log delivers.
"""

import heapq
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from rich.progress import track

from services.features.handlers import FeaturesHandler
from shared.bus.base import Record
from shared.contracts.events import Label, Transaction
from shared.contracts.topics import TRANSACTIONS
from shared.features.catalog.fraud import FRAUD
from shared.features.engine import FeatureEngine
from shared.runtime.clock import SystemClock
from shared.runtime.loop import Delivery
from shared.store.memory import MemoryStore
from tests.benchmarks import handbook_protocol as book
from tests.benchmarks.report import Figure, publish
from tests.events import label, payment

HISTORY_DAYS = 38
BATCH = 500


def main() -> None:
    file = Path(os.environ.get("HEADRACE_DATA", "")) / "fraud-handbook" / "transactions.parquet"
    if not file.exists():
        print(f"skipped: {file} is not there; set HEADRACE_DATA to the folder that holds fraud-handbook/")
        return
    transactions = pl.read_parquet(file)
    compared_days = book.TRAIN_DAYS + book.DELAY_DAYS + book.TEST_DAYS
    streamed = book.days_of(transactions, book.TRAIN_FROM - timedelta(days=HISTORY_DAYS), HISTORY_DAYS + compared_days)
    vectors = served(in_order_of_time(streamed), total=len(streamed))
    compared = book.days_of(transactions, book.TRAIN_FROM, compared_days)
    wanted = compared.with_columns(pl.col(name) * 100 for name in book.AMOUNTS).select(book.FEATURES).to_numpy()
    ours = np.array([vectors[str(key)] for key in compared["TRANSACTION_ID"]])
    differing = ~np.isclose(ours, wanted.astype(np.float64), rtol=1e-9, atol=1e-6)
    figures = [Figure("values_compared", "values compared", int(differing.size))]
    figures += [
        Figure(f"differing_{name}", f"differing: {name}", count, 0, "the book's column", "0")
        for name, count in zip(FRAUD.feature_names, differing.sum(axis=0).tolist(), strict=True)
    ]
    publish("handbook-features", "the book's 15 feature columns, recomputed by the features handler", figures)


def in_order_of_time(rows: pl.DataFrame) -> Iterator[Transaction | Label]:
    """Yield payments, and the label of each fraud seven days later, before the payments of that instant."""
    waiting: list[tuple[datetime, int, Label]] = []
    columns = ("TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD")
    for number, (key, naive, card, merchant, amount, fraud) in enumerate(rows.select(columns).iter_rows()):
        occurred_at = naive.replace(tzinfo=UTC)
        while waiting and waiting[0][0] <= occurred_at:
            yield heapq.heappop(waiting)[2]
        event = payment(
            str(key),
            occurred_at=occurred_at,
            event_id=str(key),
            card_id=str(card),
            merchant_id=str(merchant),
            amount=round(amount * 100),
        )
        if fraud:
            known = label(event, known_after=timedelta(days=book.DELAY_DAYS))
            heapq.heappush(waiting, (known.occurred_at, number, known))
        yield event


def served(events: Iterator[Transaction | Label], *, total: int) -> dict[str, list[float]]:
    """Return the vector of every payment, by its id."""
    handler = FeaturesHandler(FeatureEngine(FRAUD), MemoryStore(SystemClock()))
    vectors: dict[str, list[float]] = {}
    deliveries = (Delivery(Record(TRANSACTIONS.name, 0, at, b"", b"", 0), event) for at, event in enumerate(events))
    batches = iter(lambda: list(islice(deliveries, BATCH)), [])
    for batch in track(batches, description="payments", total=total // BATCH):
        for outgoing in handler(batch):
            vector = msgspec.json.decode(outgoing.value)
            vectors[vector["transaction"]["transaction_id"]] = vector["values"]
    return vectors


if __name__ == "__main__":
    main()
