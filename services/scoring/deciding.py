"""From a score to a decision: pure, so that a decision can be made again bit for bit."""

import functools
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from services.scoring.model import ScoringModel
from services.scoring.policy.document import digest_of
from services.scoring.policy.policy import Policy
from shared.contracts.events import Decision, Degradation, FeatureVector, ModelRole, Reason, Transaction, Verdict
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import SCORES
from shared.models.manifest import MODEL_NAME

_DEGRADED_TEXT: dict[Degradation, str] = {
    "model": "no model is in service; the configured fallback decided",
    "features": "there were no features, or not those the model was trained on; the configured fallback decided",
}


class Scored(NamedTuple):
    """A model's score of one vector, or why there is none."""

    model: ScoringModel | None
    role: ModelRole
    score: float | None
    degraded: list[Degradation]


def decision_id_of(payment: Transaction) -> str:
    """Return the id of the one decision on a payment."""
    return _decision_id(payment.occurred_at, payment.event_id)


@functools.lru_cache(maxsize=4_096)
def _decision_id(occurred_at: datetime, event_id: str) -> str:
    """Return what decision_id_of does; it is asked for the same payment from several sides at once."""
    return derived_event_id(occurred_at, SCORES.name, event_id)


def decide(
    vector: FeatureVector, scored: Scored, policy: Policy, listed: Sequence[str], *, fallback: Verdict
) -> Decision:
    """Return the decision on a payment; the same arguments give the same bytes.

    listed: the entries of lists that matched. fallback: the verdict where there is no score.
    """
    payment, manifest = vector.transaction, scored.model.manifest if scored.model else None
    thresholds = manifest.thresholds if manifest else None
    verdict, reasons = policy.judge(vector, scored.score, thresholds, listed, fallback=fallback)
    if scored.score is None:
        reasons = [*reasons, *(Reason(code=f"no_{name}", text=_DEGRADED_TEXT[name]) for name in scored.degraded)]
    elif scored.model is not None and verdict in policy.document.explain:
        reasons = [*reasons, *scored.model.reasons(vector, count=policy.document.reasons_max)]
    return Decision(
        event_id=decision_id_of(payment),
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
        vector_digest=digest_of([vector.feature_version, vector.values]),
        policy_digest=policy.digest(thresholds, fallback),
        policy_version=policy.version,
        model_role=scored.role,
        lists=list(listed),
        feature_age_seconds=vector.freshness.state_age_seconds,
        degraded=list(dict.fromkeys([*scored.degraded, *vector.degraded])),
    )
