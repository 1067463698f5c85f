"""Payments, decisions and labels as the monitor takes them in, without Kafka: in order of time, batch by batch."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np

from services.drift.settings import DriftSettings
from services.drift.watch import Watch
from shared.contracts.events import Decision, FeatureVector, Label, Transaction, Verdict
from shared.features.catalog.fraud import FRAUD
from shared.models.manifest import MODEL_NAME, Thresholds
from tests.benchmarks.drift_model import Served
from tests.benchmarks.drift_payments import DAY_US, Payments
from tests.events import FRESH, TRACE_ID

BATCH = 250
DIGEST = "0" * 64

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Batch(NamedTuple):
    """What came in together; place: of the last payment in it, plus one."""

    vectors: list[FeatureVector]
    decisions: list[Decision]
    labels: list[Label]
    place: int


class Alarm(NamedTuple):
    """A family of watches has raised an alarm; place: of the payment after which it did, plus one."""

    family: str
    signal: str
    place: int


def alarms(
    payments: Payments, served: Served, start: int, stop: int, settings: DriftSettings, size: int = BATCH
) -> Iterator[Alarm]:
    """Yield each alarm of ours: a family begins to stand at its threshold. It begins again without evidence then."""
    watch = Watch(served.champion, settings)
    delay_us = int(settings.headrace_drift_label_delay_days * DAY_US)
    standing: set[str] = set()
    for batch in batches(payments, served, start, stop, delay_us=delay_us, size=size):
        take_in(watch, batch)
        found = {family: findings for family, findings in watch.found().items() if findings}
        begun = [family for family in found if family not in standing]
        watch.begin_again(begun)
        standing = set(found)
        for family in begun:
            yield Alarm(family, found[family][0].signal, batch.place)


def take_in(watch: Watch, batch: Batch) -> None:
    """Give a batch to the monitor."""
    watch.vectors(batch.vectors)
    for decision in batch.decisions:
        watch.decision(decision)
    for label in batch.labels:
        watch.label(label)


def batches(payments: Payments, served: Served, start: int, stop: int, *, delay_us: int, size: int) -> Iterator[Batch]:
    """Yield the payments from one place to another, and the labels that became known meanwhile.

    delay_us: from a fraud to its label.
    """
    frauds = np.flatnonzero(payments.frauds)
    known_us = payments.times_us[frauds] + delay_us
    for begin in range(start, stop, size):
        end = min(begin + size, stop)
        since, until = payments.times_us[begin - 1] if begin else 0, payments.times_us[end - 1]
        due = frauds[np.searchsorted(known_us, since, "right") : np.searchsorted(known_us, until, "right")]
        rows = payments.rows[begin:end].astype(np.float64).tolist()
        transactions = [_transaction(payments, place) for place in range(begin, end)]
        yield Batch(
            [_vector(made, row, served.champion.feature_version) for made, row in zip(transactions, rows, strict=True)],
            [
                _decision(made, score, served)
                for made, score in zip(transactions, served.scores[begin:end].tolist(), strict=True)
            ],
            [_label(payments, place, delay_us) for place in due.tolist()],
            end,
        )


def _event_id(kind: int, place: int) -> str:
    return f"00000000-0000-7000-800{kind}-{place:012}"


def _transaction(payments: Payments, place: int) -> Transaction:
    return Transaction(
        event_id=_event_id(0, place),
        occurred_at=_EPOCH + timedelta(microseconds=int(payments.times_us[place])),
        trace_id=TRACE_ID,
        transaction_id=f"payment-{place}",
        card_id=f"card-{payments.cards[place]}",
        merchant_id="merchant-1",
        amount=int(payments.amounts[place]),
        currency="EUR",
        channel="ecommerce",
        country="DE",
        mcc="5411",
    )


def _vector(transaction: Transaction, values: list[float], feature_version: str) -> FeatureVector:
    return FeatureVector(
        event_id=transaction.event_id,
        occurred_at=transaction.occurred_at,
        trace_id=TRACE_ID,
        transaction=transaction,
        feature_set=FRAUD.name,
        feature_version=feature_version,
        values=values,
        freshness=FRESH,
    )


def _decision(transaction: Transaction, score: float, served: Served) -> Decision:
    return Decision(
        event_id=transaction.event_id,
        occurred_at=transaction.occurred_at,
        trace_id=TRACE_ID,
        transaction_id=transaction.transaction_id,
        card_id=transaction.card_id,
        decision=_verdict(score, served.champion.thresholds),
        score=score,
        reasons=[],
        model_name=MODEL_NAME,
        model_version=served.champion.version,
        model_digest=DIGEST,
        feature_version=served.champion.feature_version,
        vector_digest=DIGEST,
        policy_digest=DIGEST,
    )


def _verdict(score: float, thresholds: Thresholds) -> Verdict:
    if score >= thresholds.decline:
        return "decline"
    return "review" if score >= thresholds.review else "approve"


def _label(payments: Payments, place: int, delay_us: int) -> Label:
    return Label(
        event_id=_event_id(1, place),
        occurred_at=_EPOCH + timedelta(microseconds=int(payments.times_us[place]) + delay_us),
        trace_id=TRACE_ID,
        transaction_id=f"payment-{place}",
        card_id=f"card-{payments.cards[place]}",
        label="fraud",
        source="chargeback",
    )
