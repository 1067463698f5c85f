"""From a score to a decision, with reasons: pure, so that a decision can be made again bit for bit."""

import hashlib
from typing import NamedTuple

import msgspec

from shared.contracts.events import Decision, Degradation, FeatureVector, Reason, Verdict
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import SCORES
from shared.models.manifest import MODEL_NAME, Manifest, Thresholds, policy_digest

_DEGRADED_TEXT = {
    "model": "no model is in service; the configured fallback decided",
    "features": "there were no features, or not those the model was trained on; the configured fallback decided",
}


class Scored(NamedTuple):
    """A model's score of one vector, or why there is none."""

    manifest: Manifest | None
    score: float | None
    degraded: list[Degradation]


def decide(vector: FeatureVector, scored: Scored, *, fallback: Verdict) -> Decision:
    """Return the decision on a payment; the same arguments give the same bytes."""
    payment, manifest = vector.transaction, scored.manifest
    verdict, reasons = _judged(scored, fallback)
    return Decision(
        event_id=derived_event_id(payment.occurred_at, SCORES.name, payment.event_id),
        occurred_at=payment.occurred_at,
        trace_id=payment.trace_id,
        transaction_id=payment.transaction_id,
        card_id=payment.card_id,
        decision=verdict,
        score=scored.score,
        reasons=reasons,
        model_name=manifest.model_name if manifest else MODEL_NAME,
        model_version=manifest.model_version if manifest else 0,
        model_digest=manifest.model_digest if manifest else None,
        feature_version=vector.feature_version,
        vector_digest=_digest([vector.feature_version, vector.values]),
        policy_digest=policy_digest(manifest.thresholds) if manifest else _digest(["fallback", fallback]),
        degraded=list(dict.fromkeys([*scored.degraded, *vector.degraded])),
    )


def _judged(scored: Scored, fallback: Verdict) -> tuple[Verdict, list[Reason]]:
    if scored.score is None or scored.manifest is None:
        reasons = [Reason(code=f"no_{missing}", text=_DEGRADED_TEXT[missing]) for missing in scored.degraded]
        return fallback, reasons
    return _by_thresholds(scored.score, scored.manifest.thresholds)


def _by_thresholds(score: float, thresholds: Thresholds) -> tuple[Verdict, list[Reason]]:
    if score >= thresholds.decline:
        text = f"score {score:.4f} is at or above the decline threshold {thresholds.decline:.4f}"
        return "decline", [Reason(code="score_decline", text=text)]
    if score >= thresholds.review:
        text = f"score {score:.4f} is at or above the review threshold {thresholds.review:.4f}"
        return "review", [Reason(code="score_review", text=text)]
    return "approve", []


def _digest(content: object) -> str:
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()
