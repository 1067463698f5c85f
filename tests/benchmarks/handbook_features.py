"""The book's published feature columns against ours: `make bench-handbook-features HEADRACE_DATA=...`.

Online: every payment of 200 customers and every payment at 200 terminals goes through the features handler over a real
Redis-protocol server, in order of time, labels when they became known. The cards' columns are compared on payments of
the customers, the merchants' on payments at the terminals, since only there the windows are whole.
Offline: all payments by backfill.

Where a card pays twice in the same second, the book counts both payments in both rows. Here only the second has seen
the first: the other one had not arrived. These rows are told apart.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
from rich.progress import track

from services.features.handlers import FeaturesHandler
from services.local.ports import choose_ports
from services.local.redis import RedisServer, find_redis
from services.local.supervisor import Supervisor
from shared.bus.base import Record
from shared.contracts import codec
from shared.contracts.events import FeatureVector, Transaction
from shared.contracts.topics import LABELS, TRANSACTIONS
from shared.features.backfill import Backfilled, backfilled
from shared.features.catalog.fraud import HANDBOOK
from shared.features.engine import FeatureEngine
from shared.runtime.clock import SystemClock
from shared.runtime.loop import Delivery
from shared.store.redis import RedisStore
from tests.benchmarks import handbook_protocol as book
from tests.benchmarks.report import Figure, publish
from tests.events import label, payment

CUSTOMERS = TERMINALS = 200
BATCH = 500
SEED = 0
READY_SECONDS_MAX, STORE_SECONDS_MAX = 60.0, 10.0
OFFLINE_SECONDS_GOAL = 20
Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]
IS_MERCHANTS = np.array([name.startswith("merchant_") for name in HANDBOOK.feature_names])


def main() -> None:
    rows = book_rows()
    if rows is not None:
        title = "the book's 15 feature columns, recomputed"
        publish("handbook-features", title, [*online_figures(rows), *offline_figures(rows)])


def book_rows() -> pl.DataFrame | None:
    """Return the book's payments, or None, and say so, where they are not there."""
    file = Path(os.environ.get("HEADRACE_DATA", "")) / "fraud-handbook" / "transactions.parquet"
    if not file.exists():
        print(f"skipped: {file} is not there; set HEADRACE_DATA to the folder that holds fraud-handbook/")
        return None
    return pl.read_parquet(file).with_columns(
        pl.col("TX_DATETIME").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        is_twice=pl.struct("CUSTOMER_ID", "TX_DATETIME").is_duplicated(),
    )


def backfill_figures() -> list[Figure]:
    """Return how long all payments take by backfill; nothing where the data is not there."""
    rows = book_rows()
    return [] if rows is None else timed_backfill(rows)[1]


def online_figures(rows: pl.DataFrame) -> list[Figure]:
    """Return what differs where the chosen customers' and terminals' payments were streamed."""
    customers, terminals = (
        rows[name].unique().sort().sample(count, seed=SEED).implode()
        for name, count in (("CUSTOMER_ID", CUSTOMERS), ("TERMINAL_ID", TERMINALS))
    )
    chosen = rows.with_columns(
        is_card_compared=pl.col("CUSTOMER_ID").is_in(customers),
        is_merchant_compared=pl.col("TERMINAL_ID").is_in(terminals),
    ).filter(pl.col("is_card_compared") | pl.col("is_merchant_compared"))
    deliveries = in_order_of_time(chosen)
    with redis_store() as store:
        started = time.perf_counter()
        vectors = served(deliveries, store)
        seconds = time.perf_counter() - started
    ours = np.array([vectors[str(key)] for key in chosen["TRANSACTION_ID"]])
    is_compared = np.where(
        IS_MERCHANTS, chosen["is_merchant_compared"].to_numpy()[:, None], chosen["is_card_compared"].to_numpy()[:, None]
    )
    return [
        Figure("online_payments", "online: payments streamed", len(chosen)),
        Figure("online_payments_per_second", "online: payments a second, with Redis", len(chosen) / seconds),
        *difference_figures("online", chosen, differing(ours, chosen) & is_compared, int(is_compared.sum())),
    ]


def timed_backfill(rows: pl.DataFrame) -> tuple[Backfilled, list[Figure]]:
    """Return the vectors of all payments, and how long they took."""
    payments, labels = columns(rows)
    backfilled(HANDBOOK, payments.head(BATCH), labels.head(BATCH))  # compiles, or loads what was compiled
    started, started_cpu = time.perf_counter(), time.process_time()
    result = backfilled(HANDBOOK, payments, labels)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - started_cpu
    return result, [
        Figure("offline_payments", "backfill: payments", len(rows)),
        Figure("offline_cpu_seconds", "backfill: seconds of one core", cpu_seconds, goal=f"< {OFFLINE_SECONDS_GOAL}"),
        Figure("offline_seconds", "backfill: seconds that passed", seconds),
    ]


def offline_figures(rows: pl.DataFrame) -> list[Figure]:
    """Return how long all payments take by backfill, and what differs."""
    result, figures = timed_backfill(rows)
    order = result.payments.select(TRANSACTION_ID=pl.col("event_id").cast(pl.Int32))
    compared = order.join(rows, on="TRANSACTION_ID", how="left", maintain_order="left")
    return [
        *figures,
        *difference_figures("offline", compared, differing(result.values, compared), result.values.size),
    ]


def differing(ours: Floats, rows: pl.DataFrame) -> Booleans:
    """Return where `ours`, shape (rows, features), are not the book's values."""
    in_minor_units = rows.with_columns(pl.col(name) * 100 for name in book.AMOUNTS)
    theirs = in_minor_units.select(book.FEATURES).to_numpy().astype(np.float64)
    is_same: Booleans = np.isclose(ours, theirs, rtol=1e-9, atol=1e-6)
    return ~is_same


def difference_figures(path: str, rows: pl.DataFrame, differs: Booleans, compared: int) -> list[Figure]:
    is_twice = rows["is_twice"].to_numpy()
    rest = differs[~is_twice].sum(axis=0).tolist()
    return [
        Figure(f"{path}_values", f"{path}: values compared", compared),
        Figure(
            f"{path}_differing_same_second", f"{path}: differing, same card and second", int(differs[is_twice].sum())
        ),
        *(
            Figure(f"{path}_differing_{name}", f"{path}: differing, {name}", count, 0, "the book's column", "0")
            for name, count in zip(HANDBOOK.feature_names, rest, strict=True)
        ),
    ]


def columns(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return payments, and a label for each fraud a week later, as columns for backfill."""
    text = {
        "event_id": "TRANSACTION_ID",
        "transaction_id": "TRANSACTION_ID",
        "card_id": "CUSTOMER_ID",
        "merchant_id": "TERMINAL_ID",
    }
    payments = rows.select(
        *(pl.col(column).cast(pl.String).alias(name) for name, column in text.items()),
        *(pl.lit(None, pl.String).alias(name) for name in ("device_id", "user_id")),
        amount=(pl.col("TX_AMOUNT") * 100).round().cast(pl.Int64),
        currency=pl.lit("EUR"),
        channel=pl.lit("card_present"),
        country=pl.lit("BE"),
        mcc=pl.lit("5411"),
        occurred_at="TX_DATETIME",
        produced_ms=pl.col("TX_DATETIME").dt.epoch("ms"),
        partition=pl.lit(0),
        offset=pl.int_range(pl.len()),
    )
    labels = (
        payments.filter(rows["TX_FRAUD"] == 1)
        .with_columns(pl.col("occurred_at") + timedelta(days=book.DELAY_DAYS), label=pl.lit("fraud"))
        .with_columns(produced_ms=pl.col("occurred_at").dt.epoch("ms"))
    )
    return payments, labels


def in_order_of_time(rows: pl.DataFrame) -> list[Delivery]:
    """Return payments, and a label for each fraud a week later, as a log would deliver them."""
    dealt: list[tuple[int, bool, Delivery]] = []
    names = ("TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD")
    for offset, (key, occurred_at, card, merchant, amount, fraud) in enumerate(rows.select(names).iter_rows()):
        paid = payment(
            str(key),
            occurred_at=occurred_at,
            event_id=f"00000000-0000-7000-8000-{key:012}",
            card_id=str(card),
            merchant_id=str(merchant),
            amount=round(amount * 100),
        )
        known = [label(paid, known_after=timedelta(days=book.DELAY_DAYS))] if fraud else []
        for event in (paid, *known):
            topic = TRANSACTIONS if isinstance(event, Transaction) else LABELS
            produced_ms = int(event.occurred_at.timestamp() * 1000)
            record = Record(topic.name, 0, offset, b"", b"", produced_ms)
            dealt.append((produced_ms, isinstance(event, Transaction), Delivery(record, event)))
    return [delivery for *_, delivery in sorted(dealt, key=lambda item: (*item[:2], item[2].record.offset))]


@contextlib.contextmanager
def redis_store() -> Iterator[RedisStore]:
    """Start a server for this run, and end it."""
    supervisor = Supervisor()
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(
            Path(folder), binary=find_redis(), port=choose_ports([None])[0], log_path=Path(folder) / "redis.log"
        )
        try:
            supervisor.start(server)
            supervisor.wait_ready([server], seconds_max=READY_SECONDS_MAX, say=print)
            with contextlib.closing(RedisStore(server.url, timeout_seconds=STORE_SECONDS_MAX)) as store:
                yield store
        finally:
            supervisor.stop()


def served(deliveries: list[Delivery], store: RedisStore) -> dict[str, list[float]]:
    """Return the vector of every payment, by its id."""
    handler = FeaturesHandler(
        FeatureEngine(HANDBOOK), store, SystemClock(), age_max=timedelta(days=36_500), lag_records=lambda: 0
    )
    vectors: dict[str, list[float]] = {}
    for first in track(range(0, len(deliveries), BATCH), description="online"):
        for outgoing in handler(deliveries[first : first + BATCH]):
            vector = codec.decode(FeatureVector, outgoing.value)
            vectors[vector.transaction.transaction_id] = vector.values
    return vectors


if __name__ == "__main__":
    main()
