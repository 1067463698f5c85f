"""Every event that travels on a topic.

Event time is RFC 3339 with an offset. Money is an integer in minor units (cents) beside its ISO 4217 currency.
Unknown fields are refused, so that a misspelt one is noticed; what a user adds goes into `attributes`.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from shared.contracts.fields import (
    Attributes,
    Country,
    Currency,
    Digest,
    EventId,
    Identifier,
    Instant,
    MerchantCategory,
    MinorUnits,
    Text,
    TraceId,
)

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
    feature: Identifier | None = None
    contribution: (
        Annotated[float, Meta(description="What the feature adds to the log odds of fraud, where the reason is one.")]
        | None
    ) = None


ModelRole = Literal["champion", "canary"]


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
    policy_version: Annotated[int, Meta(ge=0, description="0 before the first policy is published.")] = 0
    model_role: ModelRole = "champion"
    lists: Annotated[
        list[Identifier], Meta(description="Entries of lists that matched, such as `block:card` or `allow:merchant`.")
    ] = []
    feature_age_seconds: (
        Annotated[float, Meta(ge=0, description="How far the state behind the vector was behind the log.")] | None
    ) = None
    degraded: Degradations = []


class ShadowScore(Event, frozen=True, kw_only=True):
    """What a challenger would have decided about a payment, beside what was decided; nothing acts on it."""

    transaction_id: Identifier
    card_id: Identifier
    decision_id: EventId
    decision: Verdict
    score: Annotated[float, Meta(ge=0, le=1)] | None
    model_name: Identifier
    model_version: Annotated[int, Meta(ge=0)]
    challenger_version: Annotated[int, Meta(ge=1)]
    challenger_digest: Digest
    challenger_decision: Verdict
    challenger_score: Annotated[float, Meta(ge=0, le=1)] | None


DriftKind = Literal["performance", "data", "fault"]


class DriftAlarm(Event, frozen=True, kw_only=True):
    """Something a model stands on has changed; `occurred_at` is the event time of the newest payment looked at."""

    model_name: Identifier
    model_version: Annotated[int, Meta(ge=0)]
    signal: Identifier
    statistic: float
    threshold: float
    samples: Annotated[int, Meta(ge=0)]
    explanation: Text
    kind: Annotated[
        DriftKind,
        Meta(
            description="performance: users are worse off, by matured labels or clicks. data: what comes in has "
            "changed. fault: a feed is broken; nothing is learnt from it."
        ),
    ] = "performance"
    segment: Annotated[Identifier | None, Meta(description="As country=DE; null: everything.")] = None
    since: Annotated[Instant | None, Meta(description="When it seems to have begun.")] = None
    follows: Annotated[Text | None, Meta(description="What follows from it, and why.")] = None


class DriftEvidence(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that speaks for a new model.

    `statistic` is evidence in days: while all is well it takes that long on average to see so much by chance.
    """

    signal: Identifier
    kind: DriftKind
    statistic: float
    threshold: float
    samples: Annotated[int, Meta(ge=0)]
    segment: Identifier | None = None
    since: Instant | None = None
    explanation: Text


class RetrainingRequest(Event, frozen=True, kw_only=True):
    """Someone, or the drift monitor, asks for a new model."""

    model_name: Identifier
    requested_by: Identifier
    reason: Text
    evidence: Annotated[list[DriftEvidence], Meta(description="Of the drift monitor: all that it has seen.")] = []


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
    action: Literal["registered", "promoted", "refused", "shadowed", "canaried", "withdrawn", "rolled_back", "archived"]
    share: (
        Annotated[float, Meta(gt=0, lt=1, description="With canaried: of which part of the cards it decides.")] | None
    ) = None
    model_digest: Digest | None
    manifest_digest: Digest | None = None
    data_digest: Digest | None = None
    feature_version: Digest
    actor: Identifier
    reason: Text
    metrics: dict[str, float] = {}
    previous_digest: Digest | None


class PolicyEvent(Event, frozen=True, kw_only=True):
    """A policy that decides from now on. Append-only: each carries the SHA-256 of the one before on the same topic."""

    policy_name: Identifier
    policy_version: Annotated[int, Meta(ge=1)]
    policy_digest: Digest
    document: Annotated[str, Meta(max_length=500_000, description="The policy as it was written, YAML.")]
    actor: Identifier
    reason: Text
    previous_digest: Digest | None


ListName = Literal["allow", "block"]
ListedEntity = Literal["card", "merchant", "device", "user"]


class ListEvent(Event, frozen=True, kw_only=True):
    """A card, merchant, device or user is put on a list, or taken off it."""

    list_name: ListName
    entity: ListedEntity
    value: Identifier
    action: Literal["added", "removed"]
    expires_at: Instant | None = None
    actor: Identifier
    reason: Text


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
