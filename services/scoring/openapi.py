"""How the paths that score are described: bodies and answers from the types that decode and encode them."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from services.scoring.hot_path import PAYMENT
from shared.contracts.events import Decision
from shared.contracts.fields import EventId
from shared.intake.http import REFERENCE, TRACEPARENT, ErrorAnswer, described, merged_schemas, reference
from shared.intake.problems import Problem


class FeatureContribution(Struct, frozen=True, kw_only=True):
    """What one feature adds to the log odds of fraud."""

    feature: str
    value: float
    contribution: float


class ExplanationAnswer(Struct, frozen=True, kw_only=True):
    """Why the score is what it is: `base` and the contributions add up to `logit`, the log odds of the score."""

    method: Annotated[
        Literal["tree_shap", "linear", "sampled"],
        Meta(description="How it was computed: tree_shap and linear are exact, sampled is an approximation."),
    ]
    base: float
    logit: float
    contributions: list[FeatureContribution]


class ScoreAnswer(Decision, frozen=True, kw_only=True):
    """The decision on a payment, which also goes to `scores`; `decision_id` is its event_id."""

    decision_id: EventId
    explanation: Annotated[
        ExplanationAnswer | UnsetType | None,
        Meta(description="Where it was asked for; null where no model in service made the score."),
    ] = UNSET


class BatchItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one payment of a batch: its decision, or why it was not taken."""

    index: Annotated[int, Meta(ge=0, description="Its place in the batch, from 0.")]
    status: Annotated[int, Meta(description="What the payment alone would have been answered with: 200, 422, 503.")]
    decision: ScoreAnswer | UnsetType = UNSET
    error: Problem | UnsetType = UNSET


class BatchAnswer(Struct, frozen=True, kw_only=True):
    """What became of every payment of a batch, in the order sent."""

    decided: int
    failed: int
    items: list[BatchItem]


_, _ANSWERS = msgspec.json.schema_components([ScoreAnswer, BatchAnswer, ErrorAnswer], ref_template=REFERENCE)
SCHEMAS = merged_schemas(PAYMENT.schemas, _ANSWERS)

_EXPLAIN = {
    "name": "explain",
    "in": "query",
    "schema": {"type": "string", "enum": ["true", "false"]},
    "description": "true adds why the score is what it is, feature by feature; the decision stays the same.",
}
_REFUSALS = {
    400: "Not JSON.",
    413: "The body is too large.",
    422: "A field is missing, unknown or wrong; the answer names it.",
    503: "Too much is waiting, or the disk does not work: retry with the same id after Retry-After seconds.",
}


def score_operation() -> dict[str, Any]:
    """Return how POST /v1/score is described."""
    return _operation(
        "Decide on one payment now", "score", reference(PAYMENT.event_type), ScoreAnswer, [_EXPLAIN, TRACEPARENT]
    )


def batch_operation() -> dict[str, Any]:
    """Return how POST /v1/score/batch is described."""
    body = {"type": "array", "items": reference(PAYMENT.event_type)}
    return _operation(
        "Decide on many payments now; each is answered on its own", "score_batch", body, BatchAnswer, [TRACEPARENT]
    )


def _operation(
    summary: str, operation_id: str, body: dict[str, Any], answer: type, parameters: list[dict[str, Any]]
) -> dict[str, Any]:
    answers = {200: ("Decided.", answer)} | {status: (text, ErrorAnswer) for status, text in _REFUSALS.items()}
    return {"summary": summary, "operation_id": operation_id} | described(body, answers, parameters)
