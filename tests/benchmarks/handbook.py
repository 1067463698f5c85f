"""The Fraud Detection Handbook's single split through the whole platform: `make bench-handbook HEADRACE_DATA=...`.

The file is replayed through ingest, Kafka, features and scoring in event-time order, labels 7 days late; the model is
trained by the training service on the first week and decides on the third. Beside it stand the published figures, and
a forest of the same making on the book's own feature columns, which know the months before. The replay begins with
the training week, as the task is set, so its 30-day windows start empty; HEADRACE_WARM_UP_DAYS=37 gives them their
history, and then the served vectors are also compared with the book's columns, value by value.

It is fed as fast as ingest takes it, so the features service works off a backlog: what a merchant's windows hold then
depends on its reading the partitions in the order in which they were written.
"""

import contextlib
import os
import re
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import numpy.typing as npt
import polars as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from sklearn.ensemble import RandomForestClassifier

from services.ingest.replay import ReplayPlan, ReplaySummary, replay
from services.local.model_request import follow_models, request_training
from services.local.platform import Platform
from shared.bus.base import Bus
from shared.contracts import codec
from shared.contracts.events import Decision, FeatureVector, ModelEvent
from shared.contracts.topics import FEATURES, LABELS, MODELS, SCORES, TRANSACTIONS
from shared.features.catalog.fraud import HANDBOOK
from shared.models.manifest import MODEL_NAME
from shared.runtime.clock import SystemClock
from tests.benchmarks import handbook_protocol as book
from tests.benchmarks.report import Figure, publish

FULL_HISTORY_DAYS = 37
DEADLINE_SECONDS = 600
TRAINING = {
    "HEADRACE_TRAINING_WINDOW_DAYS": str(book.TRAIN_DAYS),
    "HEADRACE_TRAINING_LABEL_DELAY_DAYS": str(book.DELAY_DAYS),
}
READERS = {
    "headrace-features-windows": (TRANSACTIONS.name, LABELS.name),
    "headrace-scoring-decisions": (FEATURES.name,),
    "headrace-training-archive": (FEATURES.name, SCORES.name, LABELS.name),
}

console = Console()


def main() -> None:
    file = Path(os.environ.get("HEADRACE_DATA", "")) / "fraud-handbook" / "transactions.parquet"
    if not file.exists():
        console.print(f"skipped: {file} is not there; set HEADRACE_DATA to the folder that holds fraud-handbook/")
        return
    warm_up_days = int(os.environ.get("HEADRACE_WARM_UP_DAYS", "0"))
    transactions = pl.read_parquet(file)
    with (
        tempfile.TemporaryDirectory() as home,
        Platform(Path(home), TRAINING, services=["ingest", "features", "scoring", "training"]) as platform,
    ):
        platform.start(lambda line: console.print(line, style="dim"))
        bus, ingest = platform.bus(), platform.addresses.services["ingest"]
        first = fed(plan(file, book.TRAIN_FROM - timedelta(days=warm_up_days), book.TEST_FROM), ingest, Path(home))
        wait_until_caught_up(bus)
        model = trained(bus)
        wait_until_in_service(platform, model.model_version)
        second = fed(plan(file, book.TEST_FROM, book.TEST_UNTIL), ingest, Path(home))
        wait_until_caught_up(bus)
        scores, vectors = read_back(bus)
    tested = book.test_set(transactions)
    ours = book.evaluate(tested, np.array([scores[str(key)] for key in tested["TRANSACTION_ID"]]))
    figures = quality(ours, peer(transactions, tested), tested)
    rate = (first.accepted + second.accepted) / (first.seconds + second.seconds)
    figures.append(Figure("events_per_second", "payments and labels taken in a second, over REST", rate))
    if warm_up_days >= FULL_HISTORY_DAYS:
        figures += parity(vectors, transactions)
    publish("handbook", f"fraud handbook, single split, {warm_up_days} days of history before training", figures)


def plan(file: Path, since: datetime, until: datetime) -> ReplayPlan:
    return ReplayPlan(
        file,
        columns={
            "transaction_id": "TRANSACTION_ID",
            "occurred_at": "TX_DATETIME",
            "card_id": "CUSTOMER_ID",
            "merchant_id": "TERMINAL_ID",
            "amount": "TX_AMOUNT",
        },
        constants={"currency": "EUR", "channel": "card_present", "country": "BE", "mcc": "5411"},
        amount_unit="major",
        since=since,
        until=until,
        fraud_column="TX_FRAUD",
        label_delay=timedelta(days=book.DELAY_DAYS),
        labels_after_end=True,
    )


def fed(what: ReplayPlan, ingest: str, home: Path) -> ReplaySummary:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(f"replay {what.since:%Y-%m-%d} to {what.until:%Y-%m-%d}", total=1.0)
        summary = replay(
            what, base_url=ingest, home=home, progress=lambda now: bar.update(task, completed=now.fraction)
        )
    if summary.rejected:
        raise SystemExit(f"{summary.rejected} events were refused: {summary.rejected_file}")
    return summary


def wait_until_caught_up(bus: Bus) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    with console.status("catching up") as status:
        while lag := sum(sum(bus.group_lag(group, topics).values()) for group, topics in READERS.items()):
            status.update(f"catching up: {lag:,} records wait")
            if time.monotonic() > deadline:
                raise SystemExit(f"still {lag} records behind after {DEADLINE_SECONDS} s")
            time.sleep(1)


def trained(bus: Bus) -> ModelEvent:
    clock = SystemClock()
    with contextlib.closing(bus.tail([MODELS.name], start="oldest")) as tail, console.status("training"):
        request_training(bus, clock, requested_by="benchmark", reason="the training week is complete")
        *_, outcome = follow_models(tail, clock, seconds_max=DEADLINE_SECONDS)
    if outcome.action != "promoted":
        raise SystemExit(f"training was refused: {outcome.reason}")
    return outcome


def wait_until_in_service(platform: Platform, version: int) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        exposed = httpx.get(f"{platform.addresses.services['scoring']}/metrics").text
        if re.search(rf'^headrace_model_version{{model="{MODEL_NAME}"}} {version}\.0$', exposed, re.MULTILINE):
            return
        time.sleep(0.2)
    raise SystemExit(f"version {version} is not in service after {DEADLINE_SECONDS} s")


def read_back(bus: Bus) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Return the scores of every payment that a model scored, and every vector served."""
    tail = bus.tail([SCORES.name, FEATURES.name], start="oldest")
    scores: dict[str, float] = {}
    vectors: dict[str, list[float]] = {}
    while not tail.caught_up():
        for record in tail.poll(wait_seconds=0.5):
            if record.topic == SCORES.name:
                decision = codec.decode(Decision, record.value or b"")
                if decision.score is not None:
                    scores[decision.transaction_id] = decision.score
            else:
                vector = codec.decode(FeatureVector, record.value or b"")
                vectors[vector.transaction.transaction_id] = vector.values
    return scores, vectors


def peer(transactions: pl.DataFrame, tested: pl.DataFrame) -> book.Result:
    """Return the figures of a plain forest on the book's own columns, without the platform."""
    train = book.days_of(transactions, book.TRAIN_FROM, book.TRAIN_DAYS)
    forest = RandomForestClassifier(n_estimators=100, min_samples_leaf=2, max_samples=0.2, n_jobs=-1, random_state=0)
    forest.fit(matrix(train), train["TX_FRAUD"].to_numpy())
    return book.evaluate(tested, forest.predict_proba(matrix(tested))[:, 1])


def matrix(rows: pl.DataFrame) -> npt.NDArray[np.float64]:
    return rows.select(book.FEATURES).to_numpy().astype(np.float64)


def quality(ours: book.Result, peer: book.Result, tested: pl.DataFrame) -> list[Figure]:
    figures = [
        Figure("test_payments", "test payments", len(tested), 58_264, "published protocol"),
        Figure("test_frauds", "test frauds", int(tested["TX_FRAUD"].sum()), 385, "published protocol"),
    ]
    names = {"auc_roc": "AUC ROC", "average_precision": "average precision", "card_precision": "CP@100"}
    for field, label in names.items():
        value = getattr(ours, field)
        figures.append(Figure(field, label, value, getattr(peer, field), "same forest, the book's columns"))
        for model, result in book.PUBLISHED.items():
            key = f"{field}_{model.replace(' ', '_').lower()}"
            figures.append(Figure(key, label, value, getattr(result, field), f"published, {model}"))
    figures.append(Figure("card_precision_ceiling", "CP@100 ceiling for these scores", ours.card_precision_ceiling))
    return figures


def parity(vectors: dict[str, list[float]], transactions: pl.DataFrame) -> list[Figure]:
    """Compare what was served with the book's columns, on payments whose every window had its whole history."""
    wanted = book.days_of(transactions, book.TRAIN_FROM, book.TRAIN_DAYS + book.DELAY_DAYS + book.TEST_DAYS)
    wanted = wanted.with_columns(pl.col(name) * 100 for name in book.AMOUNTS)
    # The fraud features begin with the book's.
    served = np.array([vectors[str(key)][: len(HANDBOOK.features)] for key in wanted["TRANSACTION_ID"]])
    differing = ~np.isclose(served, matrix(wanted), rtol=1e-9, atol=1e-6)
    return [
        Figure("vectors_compared", "served vectors compared with the book's columns", len(served)),
        Figure("values_compared", "values compared", int(differing.size)),
        Figure("values_differing", "values that differ", int(differing.sum()), 0, "none", "0"),
        *(
            Figure(f"values_differing_{name}", f"  of {name}", count)
            for name, count in zip(HANDBOOK.feature_names, differing.sum(axis=0).tolist(), strict=True)
            if count
        ),
    ]


if __name__ == "__main__":
    main()
