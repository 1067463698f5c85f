"""Payments in a file, a model that looks at every feature, and the decisions that the stream makes."""

import csv
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import polars as pl
from sklearn.ensemble import RandomForestClassifier

from services.features.handlers import FeaturesHandler
from services.scoring.jobs.file_scoring import Decide, decider
from services.scoring.model import ScoringModel
from services.scoring.policy.lists import Lists, list_key, packed
from services.scoring.policy.policy import policy_of
from services.scoring.roles import Roles
from services.scoring.scorer import Scorer
from services.training.estimators.export import export
from shared.bus.base import Record
from shared.contracts import codec
from shared.contracts.events import Decision, FeatureVector, Label, ListEvent, Transaction
from shared.contracts.topics import LABELS, TRANSACTIONS
from shared.features.catalog.fraud import FRAUD
from shared.features.engine import FeatureEngine
from shared.features.progress import PROGRESS_KEY, needed_hours, whole
from shared.models.manifest import Manifest
from shared.models.packages import Packages
from shared.runtime.clock import ManualClock
from shared.runtime.loop import Delivery
from shared.store.memory import MemoryStore
from tests.events import START, TRACE_ID, label, payment
from tests.models import manifest_of

DELAY = timedelta(days=7)
COLUMNS = ("transaction_id", "occurred_at", "card_id", "merchant_id", "amount", "currency", "channel", "country", "mcc")
Row = dict[str, Any]

POLICY = policy_of(
    """
    rules:
      - code: very_large
        when: amount > 80000.0
        action: decline
        reason: more than 800
    """,
    version=3,
)
BLOCKED = ListEvent(
    event_id=payment("blocked").event_id,
    occurred_at=START,
    trace_id=TRACE_ID,
    list_name="block",
    entity="card",
    value="c3",
    action="added",
    actor="ada",
    reason="stolen",
)


@cache
def suspicious() -> bytes:
    """Return a forest whose trees split on every feature, at values that payments have."""
    random = np.random.default_rng(0)
    rows = random.lognormal(0, 3, size=(600, len(FRAUD.features))).astype(np.float32)
    forest = RandomForestClassifier(n_estimators=30, max_features=4, random_state=0)
    return export(forest.fit(rows, random.random(len(rows)) < 0.3), len(FRAUD.features))


def suspicious_by_everything(packages: Packages, version: int = 1) -> Manifest:
    """Register it."""
    onnx = suspicious()
    names = {"feature_set": FRAUD.name, "feature_version": FRAUD.version, "feature_names": FRAUD.feature_names}
    manifest = manifest_of(version, onnx, **names)
    packages.add(manifest, onnx)
    return manifest


def loaded(packages: Packages, manifest: Manifest) -> ScoringModel:
    return ScoringModel(*packages.load(manifest.model_name, manifest.model_version, digest=manifest.model_digest))


def deciding(model: ScoringModel) -> Decide:
    return decider(model, POLICY, [BLOCKED], fallback="review")


def payments(count: int, *, days: float, cards: int = 9, seed: int = 0) -> list[Row]:
    """Return rows in order of time."""
    random = Random(seed)
    times = sorted(random.uniform(0, days) for _ in range(count))
    return [
        {
            "transaction_id": f"t{n}",
            "occurred_at": datetime(2026, 3, 2) + timedelta(days=at),  # noqa: DTZ001 - a file's naive time is UTC
            "card_id": f"c{random.randrange(cards)}",
            "merchant_id": f"m{random.randrange(4)}",
            "amount": random.randrange(100, 90_000),
            "currency": "EUR",
            "channel": random.choice(["ecommerce", "atm"]),
            "country": "DE",
            "mcc": "5411",
            "FRAUD": int(random.random() < 0.2),
        }
        for n, at in enumerate(times)
    ]


def written(path: Path, rows: Sequence[Row]) -> Path:
    """Write rows in the format that the path tells."""
    if path.suffix == ".parquet":
        pl.DataFrame(rows).write_parquet(path)
    elif path.suffix == ".jsonl":
        path.write_bytes(b"\n".join(msgspec.json.encode(row) for row in rows))
    else:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return path


def streamed(rows: Sequence[Row], model: ScoringModel, *, batch_records: int) -> list[Decision]:
    """Return what the services decide when these payments and their labels come by on the log, in order of time."""
    clock = ManualClock(START)
    store = MemoryStore(clock)
    store.patch(PROGRESS_KEY, patches=[whole(needed_hours(FRAUD))])
    handler = FeaturesHandler(FeatureEngine(FRAUD), store, clock, age_max=timedelta(1), lag_records=lambda: 0)
    lists, scorer = Lists({"card"}, clock), Scorer(lambda: Roles(model), lambda: POLICY, fallback="review")
    store.put(list_key("card", BLOCKED.value), packed([BLOCKED]), expire_after=None)
    deliveries: list[Delivery] = []
    for row in rows:
        event = payment_of(row)
        deliveries.append(_delivery(TRANSACTIONS.name, len(deliveries), event))
        known = label(event, "fraud" if row["FRAUD"] else "genuine", known_after=DELAY)
        deliveries.append(_delivery(LABELS.name, len(deliveries), known))
    deliveries.sort(key=lambda delivery: (delivery.record.produced_ms, delivery.record.topic))
    decisions: list[Decision] = []
    for at in range(0, len(deliveries), batch_records):
        outgoing = handler(deliveries[at : at + batch_records])
        vectors = [codec.decode(FeatureVector, record.value) for record in outgoing]
        keys = [lists.keys(vector.transaction) for vector in vectors]
        values = [store.append_and_read([], each, expire_after=timedelta()) for each in keys]
        listed = [lists.matched(vector.transaction, each) for vector, each in zip(vectors, values, strict=True)]
        decisions += scorer.decided(vectors, listed, path="stream")
    return decisions


def payment_of(row: Row) -> Transaction:
    fields = {name: row[name] for name in COLUMNS if name not in {"transaction_id", "occurred_at"}}
    return payment(row["transaction_id"], after=row["occurred_at"].replace(tzinfo=UTC) - START, **fields)


def _delivery(topic: str, offset: int, event: Transaction | Label) -> Delivery:
    produced_ms = int(event.occurred_at.timestamp() * 1000)
    return Delivery(Record(topic, 0, offset, event.card_id.encode(), b"", produced_ms), event)
