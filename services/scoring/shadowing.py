"""What challengers would have decided, beside what was decided: pure, as decisions are."""

from collections.abc import Sequence

from services.scoring.model import ScoringModel
from services.scoring.policy.policy import Policy
from services.scoring.roles import Roles
from shared.contracts.events import Decision, FeatureVector, ShadowScore, Verdict
from shared.contracts.ids import derived_event_id
from shared.contracts.topics import SHADOWS


def shadow_scores(
    vectors: Sequence[FeatureVector],
    decisions: Sequence[Decision],
    roles: Roles[ScoringModel],
    policy: Policy,
    listed: Sequence[Sequence[str]],
    *,
    fallback: Verdict,
) -> list[ShadowScore]:
    """Return what each challenger says of each vector's payment; the same arguments give the same events.

    A verdict is the policy's: by its own thresholds, or else by those that came with the challenger. A challenger that
    does not take a vector has no score for it, and the verdict is `fallback`'s, as it would be in service.

    decisions: one a vector, wherever it was made. listed: for each vector the entries of lists that matched.
    """
    shadows = []
    for challenger in roles.challengers:
        thresholds = challenger.manifest.thresholds
        scores = challenger.scores_of(vectors)
        for vector, decision, entries, score in zip(vectors, decisions, listed, scores, strict=True):
            verdict, _ = policy.judge(vector, score, thresholds, entries, fallback=fallback)
            shadows.append(_shadow(challenger, decision, score, verdict))
    return shadows


def _shadow(challenger: ScoringModel, decision: Decision, score: float | None, verdict: Verdict) -> ShadowScore:
    version = challenger.manifest.model_version
    return ShadowScore(
        event_id=derived_event_id(decision.occurred_at, SHADOWS.name, decision.event_id, str(version)),
        occurred_at=decision.occurred_at,
        trace_id=decision.trace_id,
        transaction_id=decision.transaction_id,
        card_id=decision.card_id,
        decision_id=decision.event_id,
        decision=decision.decision,
        score=decision.score,
        model_name=decision.model_name,
        model_version=decision.model_version,
        challenger_version=version,
        challenger_digest=challenger.manifest.model_digest,
        challenger_decision=verdict,
        challenger_score=score,
    )
