"""A decision of the past made again: from the recorded vector, by the recorded model and policy, to the same bytes."""

import typing
from collections.abc import Mapping

from msgspec.structs import replace

from services.scoring.deciding import decide
from services.scoring.model import ScoringModel
from services.scoring.policy.document import digest_of
from services.scoring.policy.policy import Policy
from services.scoring.roles import Roles
from services.scoring.scorer import scores_of
from shared.contracts.events import Decision, FeatureVector, Transaction, Verdict


class NotReplayableError(Exception):
    """What is at hand is not what decided; the message says which part, and what to do."""


def replayed(decision: Decision, vector: FeatureVector, model: ScoringModel | None, policy: Policy) -> Decision:
    """Return the decision made again; encoded it is byte for byte what was recorded.

    vector: as archived. model, policy: those that the decision names; None for a decision without a model.

    Raises:
        NotReplayableError: the vector, model or policy is not the one that decided.
    """
    seen = as_seen(decision, vector)
    fallback = fallback_of(decision, model, policy)
    return what_if(decision, seen, model, policy, fallback=fallback)


def what_if(
    decision: Decision, vector: FeatureVector, model: ScoringModel | None, policy: Policy, *, fallback: Verdict
) -> Decision:
    """Return what would have been decided on `vector` by `model` and `policy`, with the lists as they were then."""
    (scored,) = scores_of([vector], Roles(champion=model))
    return decide(vector, scored._replace(role=decision.model_role), policy, decision.lists, fallback=fallback)


def with_payment(vector: FeatureVector, payment: Transaction, values: list[float]) -> FeatureVector:
    """Return `vector` as that of another payment, with its values."""
    return replace(vector, transaction=payment, values=values)


def with_features(vector: FeatureVector, changes: Mapping[str, float], names: list[str]) -> FeatureVector:
    """Return `vector` with some features changed; names: of its values, all of `changes` among them."""
    changed = [changes.get(name, value) for name, value in zip(names, vector.values, strict=True)]
    return replace(vector, values=changed)


def as_seen(decision: Decision, vector: FeatureVector) -> FeatureVector:
    """Return the vector as the decision saw it: how fresh it was stands on the decision.

    Over REST the vector is computed ahead of the one on `features`: the same values, read a moment earlier. Where the
    state was out of reach there were none.
    """
    for values in (vector.values, list[float]()):
        if digest_of([vector.feature_version, values]) == decision.vector_digest:
            return replace(
                vector,
                values=values,
                freshness=replace(vector.freshness, state_age_seconds=decision.feature_age_seconds),
                degraded=[name for name in decision.degraded if name != "model"],
            )
    raise NotReplayableError(
        f"the archived vector of payment {decision.transaction_id} is not the one that was decided on: its digest is "
        f"not {decision.vector_digest[:12]}; restore the archive"
    )


def fallback_of(decision: Decision, model: ScoringModel | None, policy: Policy) -> Verdict:
    """Return the fallback that was configured then, which the policy's digest covers."""
    if decision.model_digest != (model.manifest.model_digest if model else None):
        raise NotReplayableError(
            f"version {decision.model_version} of {decision.model_name} is not the model that decided: its digest is "
            f"not {(decision.model_digest or 'none')[:12]}"
        )
    thresholds = model.manifest.thresholds if model else None
    for verdict in typing.get_args(Verdict):
        if policy.digest(thresholds, verdict) == decision.policy_digest:
            found: Verdict = verdict
            return found
    raise NotReplayableError(
        f"policy {decision.policy_version} as it can be found now is not the one that decided: no digest of it is "
        f"{decision.policy_digest[:12]}; use the version of Headrace that decided"
    )
