"""Events for tests, with every field a test does not care about filled in."""

from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from shared.contracts.events import Freshness, Label, Transaction
from shared.contracts.ids import derived_event_id

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
FRESH = Freshness(state_age_seconds=0.0, source_lag_records=0)
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


def payment(transaction_id: str, *, after: timedelta = timedelta(), **fields: Any) -> Transaction:
    occurred_at = START + after
    defaults: dict[str, Any] = {
        "event_id": derived_event_id(occurred_at, "transactions", transaction_id),
        "occurred_at": occurred_at,
        "trace_id": TRACE_ID,
        "transaction_id": transaction_id,
        "card_id": "card-1",
        "merchant_id": "merchant-1",
        "amount": 1999,
        "currency": "EUR",
        "channel": "ecommerce",
        "country": "DE",
        "mcc": "5411",
    }
    return Transaction(**(defaults | fields))


def label(of: Transaction, verdict: Literal["fraud", "genuine"] = "fraud", *, known_after: timedelta) -> Label:
    occurred_at = of.occurred_at + known_after
    return Label(
        event_id=derived_event_id(occurred_at, "labels", of.transaction_id, verdict),
        occurred_at=occurred_at,
        trace_id=TRACE_ID,
        transaction_id=of.transaction_id,
        card_id=of.card_id,
        label=verdict,
        source="chargeback",
    )
