"""Every event that travels on a topic.

Event time is RFC 3339 with an offset. Money is an integer in minor units (cents) beside its ISO 4217 currency.
Unknown fields are refused, so that a misspelt one is noticed; what a user adds goes into `attributes`.
"""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

# In Python `$` also stands before a last line feed; the lookahead, or a greatest length, keeps that out.
_NO_CONTROL_CHARACTER = r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)"
Identifier = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=128,
        pattern=_NO_CONTROL_CHARACTER,
        description="Opaque, 1 to 128 characters, no control character among them.",
    ),
]
EventId = Annotated[
    str,
    Meta(
        pattern="^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
        max_length=36,
        description="UUIDv7 (RFC 9562), lower case. Applying the same id twice changes nothing.",
    ),
]
TraceId = Annotated[str, Meta(pattern="^[0-9a-f]{32}$", max_length=32, description="W3C Trace Context trace-id.")]
Instant = Annotated[datetime, Meta(tz=True, description="RFC 3339 with an offset, for example 2026-01-31T09:30:00Z.")]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64, description="SHA-256, hexadecimal.")]
Currency = Annotated[str, Meta(pattern="^[A-Z]{3}$", max_length=3, description="ISO 4217 code, for example EUR.")]
Country = Annotated[
    str, Meta(pattern="^[A-Z]{2}$", max_length=2, description="ISO 3166-1 alpha-2 code, for example DE.")
]
MerchantCategory = Annotated[
    str, Meta(pattern="^[0-9]{4}$", max_length=4, description="ISO 18245 merchant category code.")
]
MinorUnits = Annotated[int, Meta(ge=0, le=10**15, description="Integer minor units: 1999 is 19.99 EUR.")]
AttributeName = Annotated[str, Meta(min_length=1, max_length=64, pattern=_NO_CONTROL_CHARACTER)]
AttributeText = Annotated[str, Meta(max_length=256)]
Attributes = Annotated[
    dict[AttributeName, float | AttributeText],
    Meta(
        max_length=64,
        description="Up to 64 fields of your own: a name of 1 to 64 characters, and a finite number or a text of up to "
        "256 characters.",
    ),
]
Text = Annotated[str, Meta(max_length=4096)]

Channel = Literal["card_present", "ecommerce", "atm", "mail_order", "recurring"]
Verdict = Literal["approve", "review", "decline"]
LabelValue = Literal["fraud", "genuine"]


class Event(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The envelope every event carries."""

    event_id: EventId
    schema_version: Literal[1] = 1
    occurred_at: Instant
    trace_id: TraceId


class Transaction(Event, frozen=True, kw_only=True):
    """A card payment, as the acquirer or the shop saw it; `user_id` is the account's holder, where the sender knows."""

    transaction_id: Identifier
    card_id: Identifier
    merchant_id: Identifier
    device_id: Identifier | None = None
    user_id: Identifier | None = None
    amount: MinorUnits
    currency: Currency
    channel: Channel
    country: Country
    mcc: MerchantCategory
    attributes: Attributes = {}


class Interaction(Event, frozen=True, kw_only=True):
    """What a shopper did with an item."""

    user_id: Identifier
    item_id: Identifier
    kind: Literal["view", "cart", "purchase", "like", "dislike"]
    quantity: Annotated[int, Meta(ge=1, le=10**6)] = 1
    session_id: Identifier | None = None
    recommendation_id: Identifier | None = None
    attributes: Attributes = {}


class Label(Event, frozen=True, kw_only=True):
    """What a payment turned out to be; `occurred_at` is when that became known, often weeks after the payment."""

    transaction_id: Identifier
    card_id: Identifier
    label: LabelValue
    source: Literal["chargeback", "review", "customer", "rule"]


Degradation = Literal["model", "features", "stale", "incomplete"]
Degradations = Annotated[
    list[Degradation],
    Meta(
        description="What was missing. model: none is in service. features: no vector, or one of another version. "
        "stale: the state was further behind the log than is allowed. incomplete: it was lost and is not rebuilt."
    ),
]


class Freshness(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far the state was behind the log when a vector was computed."""

    state_age_seconds: (
        Annotated[
            float,
            Meta(
                ge=0,
                description="Whatever the log took in longer ago was in the state; null: the state was out of reach.",
            ),
        ]
        | None
    )
    source_lag_records: Annotated[int, Meta(ge=0)] | None
    late_seconds: Annotated[
        float, Meta(ge=0, description="By how much a payment that arrived before was ahead in event time; 0: in time.")
    ] = 0.0
    outdated_vectors: Annotated[
        int, Meta(ge=0, description="Payments already answered whose vectors this one, in time, would have changed.")
    ] = 0


class FeatureVector(Event, frozen=True, kw_only=True):
    """A payment and its features, as of the payment's own time and from what was known by then."""

    transaction: Transaction
    feature_set: Identifier
    feature_version: Digest
    values: list[float]
    freshness: Freshness
    degraded: Degradations = []


class Reason(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a decision fell as it did: a code for machines, a sentence for people."""

    code: Identifier
    text: Text


class Decision(Event, frozen=True, kw_only=True):
    """What was decided about a payment, with everything needed to decide it again."""

    transaction_id: Identifier
    card_id: Identifier
    decision: Verdict
    score: Annotated[float, Meta(ge=0, le=1)] | None
    reasons: list[Reason]
    model_name: Identifier
    model_version: Annotated[int, Meta(ge=0, description="0 when no model decided.")]
    model_digest: Digest | None
    feature_version: Digest
    vector_digest: Digest
    policy_digest: Digest
    degraded: Degradations = []


class ShownItem(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One item of an impression."""

    item_id: Identifier
    score: float
    propensity: Annotated[float, Meta(gt=0, le=1, description="Probability of showing it in this place.")]


class Impression(Event, frozen=True, kw_only=True):
    """The items a shopper was shown."""

    recommendation_id: Identifier
    user_id: Identifier
    items: list[ShownItem]
    model_name: Identifier
    model_version: Annotated[int, Meta(ge=0)]


class DriftAlarm(Event, frozen=True, kw_only=True):
    """Something a model stands on has changed; `occurred_at` is the event time of the newest payment looked at."""

    model_name: Identifier
    model_version: Annotated[int, Meta(ge=0)]
    signal: Identifier
    statistic: float
    threshold: float
    samples: Annotated[int, Meta(ge=0)]
    explanation: Text


class RetrainingRequest(Event, frozen=True, kw_only=True):
    """Someone, or the drift monitor, asks for a new model."""

    model_name: Identifier
    requested_by: Identifier
    reason: Text


class ModelEvent(Event, frozen=True, kw_only=True):
    """A step in a model's life. Append-only: each carries the SHA-256 of the one before on the same topic."""

    model_name: Identifier
    model_version: Annotated[
        int,
        Meta(
            ge=0,
            description="The version that the action is about; with rolled_back the one that is in force from then on. "
            "0 when a run was refused before it registered a model.",
        ),
    ]
    action: Literal["registered", "promoted", "refused", "shadowed", "rolled_back", "archived"]
    model_digest: Digest | None
    manifest_digest: Digest | None = None
    data_digest: Digest | None = None
    feature_version: Digest
    actor: Identifier
    reason: Text
    metrics: dict[str, float] = {}
    previous_digest: Digest | None


class DeadLetter(Event, frozen=True, kw_only=True):
    """A record that was rejected: the raw bytes, the reason, and where it came from."""

    service: Identifier
    topic: Identifier
    partition: Annotated[int, Meta(ge=0)]
    offset: Annotated[int, Meta(ge=0)]
    key: bytes | None
    value: bytes | None
    value_bytes_total: Annotated[int, Meta(ge=0, description="Larger than `value` when it was cut.")]
    error: Identifier
    explanation: Text
