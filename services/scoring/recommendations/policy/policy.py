"""A policy for recommendations, ready to be asked what applies to a shopper."""

from typing import NamedTuple

from services.scoring.policy.kinds import Kind
from services.scoring.policy.parsing import parsed
from services.scoring.recommendations.arranging import merged
from services.scoring.recommendations.asked import Merchandising
from services.scoring.recommendations.experiments import CONTROL, arm_of
from services.scoring.recommendations.policy.document import RecommendationDocument, contradictions
from shared.models.manifest import RECOMMENDATION


class Terms(NamedTuple):
    """What applies to one shopper. experiment, arm: None where none runs."""

    merchandising: Merchandising
    experiment: str | None = None
    arm: str | None = None


class RecommendationPolicy:
    """One version of a policy."""

    def __init__(self, document: RecommendationDocument, *, version: int) -> None:
        """Work out what each arm of the experiment gets."""
        self.document = document
        self.version = version
        self._terms: dict[str | None, Terms] = {None: Terms(document.merchandising)}
        if (experiment := document.experiment) is not None:
            control = Terms(document.merchandising, experiment.name, CONTROL)
            changed = {arm.name: merged(document.merchandising, arm.changes) for arm in experiment.arms}
            self._terms[CONTROL] = control
            self._terms.update((name, Terms(given, experiment.name, name)) for name, given in changed.items())

    def terms(self, user_id: str) -> Terms:
        """Return what applies to a shopper; of an anonymous one, `user_id` is the session's id."""
        experiment = self.document.experiment
        return self._terms[None if experiment is None else arm_of(experiment, user_id)]


def recommendation_policy_of(text: str, *, version: int) -> RecommendationPolicy:
    """Return the policy that `text` describes (YAML).

    Raises:
        PolicyError: it cannot be put in force; the message names the lines.
    """
    document = parsed(text, RecommendationDocument, contradictions)
    return RecommendationPolicy(document, version=version)


RECOMMENDATIONS = Kind(
    RECOMMENDATION, recommendation_policy_of, RecommendationPolicy(RecommendationDocument(), version=0)
)
"""Policies of recommendations; before the first is published, lists are as the model ranks them."""
