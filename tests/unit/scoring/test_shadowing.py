"""What challengers say beside what was decided: by their own model and thresholds, on the same payments."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from services.scoring.model import ScoringModel
from services.scoring.policy.policy import BEFORE_THE_FIRST
from services.scoring.roles import Roles
from services.scoring.scorer import Scorer
from services.scoring.shadowing import shadow_scores
from shared.contracts import codec
from shared.contracts.events import Decision, FeatureVector, ShadowScore
from shared.models.packages import Packages
from tests.unit.scoring.scoring_scene import register
from tests.unit.scoring.test_decisions import vector

SMALL, MIDDLE, LARGE = 100, 55_000, 99_000


@pytest.fixture
def roles(tmp_path: Path) -> Roles[ScoringModel]:
    """A champion that declines amounts above 50,000, and two challengers that decline above 60,000 and above 20."""
    packages = Packages(tmp_path)
    models = []
    for version, above in enumerate((50_000, 60_000, 20), start=1):
        manifest = register(packages, version, above=above)
        models.append(ScoringModel(*packages.load(manifest.model_name, version, digest=manifest.model_digest)))
    return Roles(champion=models[0], challengers=tuple(models[1:]))


def decided(roles: Roles[ScoringModel], vectors: list[FeatureVector]) -> list[Decision]:
    scorer = Scorer(lambda: roles, lambda: BEFORE_THE_FIRST, fallback="review")
    return scorer.decided(vectors, [[]] * len(vectors), path="stream")


def shadows_of(roles: Roles[ScoringModel], vectors: list[FeatureVector]) -> list[ShadowScore]:
    decisions = decided(roles, vectors)
    return shadow_scores(vectors, decisions, roles, BEFORE_THE_FIRST, [[]] * len(vectors), fallback="review")


def test_every_challenger_speaks_of_every_payment_beside_what_was_decided(roles: Roles[ScoringModel]) -> None:
    shadows = shadows_of(roles, [vector(SMALL), vector(MIDDLE), vector(LARGE)])
    said = {(s.transaction_id, s.challenger_version): (s.decision, s.challenger_decision) for s in shadows}
    assert said == {
        (f"t{SMALL}", 2): ("approve", "approve"),
        (f"t{MIDDLE}", 2): ("decline", "approve"),
        (f"t{LARGE}", 2): ("decline", "decline"),
        (f"t{SMALL}", 3): ("approve", "decline"),
        (f"t{MIDDLE}", 3): ("decline", "decline"),
        (f"t{LARGE}", 3): ("decline", "decline"),
    }
    assert [codec.decode(ShadowScore, codec.encode(shadow)) for shadow in shadows] == shadows


def test_a_shadow_names_its_decision_and_both_models(roles: Roles[ScoringModel]) -> None:
    (decision,) = decided(roles, [vector(MIDDLE)])
    shadow = shadows_of(roles, [vector(MIDDLE)])[0]
    assert (shadow.decision_id, shadow.card_id, shadow.score) == (decision.event_id, decision.card_id, decision.score)
    assert (shadow.model_version, shadow.challenger_version) == (1, 2)
    assert shadow.challenger_digest == roles.challengers[0].manifest.model_digest
    assert shadow.challenger_score is not None
    assert shadow.challenger_score < 0.5


def test_a_decision_is_the_same_with_challengers_and_without(roles: Roles[ScoringModel]) -> None:
    vectors = [vector(SMALL), vector(MIDDLE)]
    assert decided(roles, vectors) == decided(roles._replace(challengers=()), vectors)


def test_saying_it_again_gives_the_same_events_whatever_the_batch(roles: Roles[ScoringModel]) -> None:
    vectors = [vector(amount) for amount in range(0, 100_000, 7_000)]
    together = shadows_of(roles, vectors)
    alone = [shadow for each in vectors for shadow in shadows_of(roles, [each])]
    by_id = {shadow.event_id: shadow for shadow in together}
    assert len(by_id) == 2 * len(vectors)
    assert by_id == {shadow.event_id: shadow for shadow in alone}


def test_a_challenger_of_other_features_has_no_score_and_the_fallback_as_verdict(roles: Roles[ScoringModel]) -> None:
    old = replace(vector(SMALL), feature_version="f" * 64)
    shadow = shadows_of(roles, [old, vector(LARGE)])[0]
    assert (shadow.challenger_score, shadow.challenger_decision) == (None, "review")


def test_without_challengers_nothing_is_said(roles: Roles[ScoringModel]) -> None:
    assert shadows_of(roles._replace(challengers=()), [vector(SMALL)]) == []
