"""A batch of vectors to decisions: one call of the graph a model, then the policy."""

from collections.abc import Callable, Sequence

from services.scoring.counting import Path, count_decision, count_shadows
from services.scoring.deciding import Scored, decide
from services.scoring.model import ScoringModel
from services.scoring.policy.policy import Policy
from services.scoring.roles import Roles
from services.scoring.shadowing import shadow_scores
from shared.contracts import codec
from shared.contracts.events import Decision, FeatureVector, ShadowScore, Verdict


class Scorer:
    """Scores with the models in service now, and decides by the policy in force now."""

    def __init__(
        self, roles: Callable[[], Roles[ScoringModel]], policy: Callable[[], Policy], *, fallback: Verdict
    ) -> None:
        """Wire it; `roles` and `policy` return what is in force at the moment, the same objects until that changes."""
        self._roles = roles
        self._policy = policy
        self._fallback = fallback

    def decided(
        self, vectors: Sequence[FeatureVector], listed: Sequence[Sequence[str]], *, path: Path | None
    ) -> list[Decision]:
        """Return one decision a vector, all by the same roles and policy.

        listed: for each vector the entries of lists that matched. path: how they came in, for the metrics; None: who
        asks counts for itself.
        """
        policy, scored = self._policy(), scores_of(vectors, self._roles())
        decisions = [
            decide(vector, each, policy, entries, fallback=self._fallback)
            for vector, each, entries in zip(vectors, scored, listed, strict=True)
        ]
        if path is not None:
            for decision in decisions:
                count_decision(decision, path=path)
        return decisions

    def shadowed(
        self, vectors: Sequence[FeatureVector], decisions: Sequence[bytes], listed: Sequence[Sequence[str]]
    ) -> list[ShadowScore]:
        """Return what the challengers say of payments that were decided, wherever that was.

        decisions: one a vector, encoded; listed: as for `decided`.
        """
        roles = self._roles()
        if not roles.challengers:
            return []
        made = [codec.decode(Decision, decision) for decision in decisions]
        shadows = shadow_scores(vectors, made, roles, self._policy(), listed, fallback=self._fallback)
        count_shadows(shadows)
        return shadows


def scores_of(vectors: Sequence[FeatureVector], roles: Roles[ScoringModel]) -> list[Scored]:
    """Return what the model of each vector's card says of it."""
    scored = []
    by_model: dict[ScoringModel, list[int]] = {}
    for at, vector in enumerate(vectors):
        model, role = roles.model_for(vector.transaction.card_id)
        if model is not None:
            by_model.setdefault(model, []).append(at)
        scored.append(Scored(model, role, None, ["features" if model else "model"]))
    for model, places in by_model.items():
        for at, score in zip(places, model.scores_of([vectors[at] for at in places]), strict=True):
            if score is not None:
                scored[at] = scored[at]._replace(score=score, degraded=[])
    return scored
