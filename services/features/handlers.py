"""A batch of payments and labels to feature vectors."""

from collections import defaultdict
from collections.abc import Sequence

from shared.bus.base import Outgoing, Record
from shared.contracts import codec
from shared.contracts.events import FeatureVector, Label, Transaction
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import FEATURES, TRANSACTIONS
from shared.features.engine import Arrival, FeatureEngine, Plan, Vectors, label_append, merchants_to_tell
from shared.features.state import log_origin
from shared.runtime import metrics
from shared.runtime.loop import Delivery
from shared.store.base import Store

Appends = list[tuple[str, bytes]]


class FeaturesHandler:
    """Applies a batch to the state and computes the vectors; applying it twice changes nothing.

    Labels go first, so that a payment sees those which the same batch brings; whether they were known at the
    payment's time is decided by event time.
    """

    def __init__(self, engine: FeatureEngine, store: Store) -> None:
        self._engine = engine
        self._store = store
        self._feature_version = engine.feature_set.version

    def __call__(self, deliveries: Sequence[Delivery]) -> list[Outgoing]:
        self._apply_labels([(event, record) for record, event in deliveries if isinstance(event, Label)])
        return self._apply_payments([(event, record) for record, event in deliveries if isinstance(event, Transaction)])

    def _apply_labels(self, labels: Sequence[tuple[Label, Record]]) -> None:
        by_card: dict[str, list[str]] = defaultdict(list)
        appends: Appends = []
        for label, record in labels:
            append = label_append(label, origin=log_origin(record.partition, record.offset))
            appends.append(append)
            by_card[append[0]].append(label.transaction_id)
        if appends:
            self._tell_merchants(by_card, self._store_round_trip(appends, list(by_card)), expected=True)

    def _apply_payments(self, payments: Sequence[tuple[Transaction, Record]]) -> list[Outgoing]:
        if not payments:
            return []
        plan = self._engine.plan(
            [Arrival(payment, log_origin(record.partition, record.offset)) for payment, record in payments]
        )
        states = self._store_round_trip(plan.appends, plan.reads)
        vectors = self._engine.vectors(plan, states)
        self._tell_early_labels(plan, states, vectors)
        self._compact(plan, states)
        metrics.DUPLICATES.labels(TRANSACTIONS.name).inc(int((~vectors.fresh).sum()))
        metrics.LATE_EVENTS.labels(TRANSACTIONS.name).inc(int((vectors.fresh & vectors.late).sum()))
        return self._outgoing(payments, vectors)

    def _outgoing(self, payments: Sequence[tuple[Transaction, Record]], vectors: Vectors) -> list[Outgoing]:
        outgoing = []
        for (payment, record), values, fresh in zip(payments, vectors.values.tolist(), vectors.fresh, strict=True):
            if not fresh:
                continue
            event = FeatureVector(
                event_id=derived_event_id(payment.occurred_at, FEATURES.name, payment.event_id),
                occurred_at=payment.occurred_at,
                trace_id=payment.trace_id,
                transaction=payment,
                feature_set=self._engine.feature_set.name,
                feature_version=self._feature_version,
                values=values,
            )
            key = payment.card_id.encode()
            outgoing.append(Outgoing(FEATURES.name, key, codec.encode(event), record.produced_ms))
        return outgoing

    def _tell_early_labels(self, plan: Plan, states: Sequence[bytes], vectors: Vectors) -> None:
        """Pass on labels that came before their payment: until now nobody knew whose merchant they concern."""
        by_key = dict(zip(plan.reads, states, strict=True))
        by_card: dict[str, list[str]] = defaultdict(list)
        for (key, _), (payment, _), labelled in zip(plan.appends[::2], plan.arrivals, vectors.labelled, strict=True):
            if labelled:
                by_card[key].append(payment.transaction_id)
        self._tell_merchants(by_card, [by_key[key] for key in by_card], expected=False)

    def _tell_merchants(
        self, transactions_by_card: dict[str, list[str]], states: Sequence[bytes], *, expected: bool
    ) -> None:
        appends: Appends = []
        for (_, transactions), state in zip(transactions_by_card.items(), states, strict=True):
            told = merchants_to_tell(state, transactions)
            if expected and len(told) < len(transactions):
                metrics.UNMATCHED_LABELS.labels("features").inc(len(transactions) - len(told))
            appends += told
        if appends:
            self._store_round_trip(appends, [])

    def _compact(self, plan: Plan, states: Sequence[bytes]) -> None:
        for key, state in zip(plan.reads, states, strict=True):
            smaller = self._engine.compacted(state)
            if smaller is not None and self._store.replace_if_unchanged(key, length=len(state), value=smaller):
                metrics.COMPACTIONS.inc()

    def _store_round_trip(self, appends: Appends, reads: Sequence[str]) -> list[bytes]:
        return self._store.append_and_read(appends, reads, expire_after=self._engine.state_lifetime)
